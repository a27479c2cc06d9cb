"""What a file keeps of a reader: :func:`contents`, :func:`restored`."""

from __future__ import annotations

from typing import Any, get_type_hints

import torch
from torch import Tensor

from skmeta.files.checks import expect, fields_of, load_weights
from skmeta.metanets import TRUNKS
from skmeta.metanets.templates import check_templates
from skmeta.networks import Record
from skmeta.population import Population
from skmeta.reading.reader import Reader

# Numbers that a metanetwork is built with; of more there are only shapes, which takes four times
# as long.
_FEW = 10**6


def contents(reader: Reader) -> dict[str, Any]:
    """Return the fields of a reader, the metanetwork as its weights."""
    return {**vars(reader), "metanet": dict(reader.metanet.state_dict())}


def restored(fields: Any) -> Reader:
    """Return a reader of what anybody claims :func:`contents` returned."""
    hints = {**get_type_hints(Reader), "metanet": dict[str, Tensor]}
    state, name, n_outputs, hidden_channels, n_layers, quasi, specs = fields_of(
        fields, "a reader", **hints
    )
    expect(name in TRUNKS and n_outputs > 0, "the metanetwork is unknown")
    # What a file claims must not need much more memory than the file.
    expect(0 < n_layers <= len(state), "the metanetwork has too many layers")
    widest = max((max(t.shape, default=0) for t in state.values() if t.numel()), default=0)
    expect(0 < hidden_channels <= widest, "the metanetwork has too many channels")
    check_templates(specs)
    depths = sum(spec.depth for spec in specs)
    claimed = (depths**2 + sum(spec.n_parameters for spec in specs) + n_outputs) * n_layers
    with torch.device("cpu" if claimed * hidden_channels**2 <= _FEW else "meta"):
        blank = Population.from_records([Record.blank(spec) for spec in specs])
        options = {"hidden_channels": hidden_channels, "n_layers": n_layers, "quasi": quasi}
        reader = Reader.build(blank, name, n_outputs=n_outputs, **options)
    load_weights(reader.metanet, state)
    return reader
