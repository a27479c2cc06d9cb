"""Equivariant networks over weights (pure torch)."""

from collections.abc import Callable
from functools import partial

from skmeta.metanets.editing import EditingMetanet
from skmeta.metanets.graph import GraphMetanet
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.invariant import InvariantPool, IOEncoding
from skmeta.metanets.message_readers import GraphReader, NeuronReader
from skmeta.metanets.monomial import MonomialLayer
from skmeta.metanets.neuron import NeuronMetanet
from skmeta.metanets.nf_layer import NFLayer
from skmeta.metanets.nfn import NFN
from skmeta.metanets.quasi import Quasi, QuasiScaling
from skmeta.metanets.reading import ReadingMetanet
from skmeta.metanets.statistics import StatNN, statistic_names, weight_statistics

METANETS = {"graph": GraphMetanet, "neuron": NeuronMetanet}
"""Metanetworks that edit networks, by name."""

READERS: dict[str, Callable[..., ReadingMetanet]] = {
    "nfn-hnp": partial(NFN, symmetry="hnp"),
    "nfn-np": partial(NFN, symmetry="np"),
    "nfn-pointwise": partial(NFN, symmetry="pointwise"),
    "monomial": partial(NFN, symmetry="monomial"),
    "graph": GraphReader,
    "neuron": NeuronReader,
    "statistics": StatNN,
}
"""Builders of metanetworks that read networks, by name.

``build(stacks, n_outputs=1, *, hidden_channels=16, n_layers=3, head_channels=128)`` returns a
:class:`ReadingMetanet`.
"""

__all__ = [
    "METANETS",
    "NFN",
    "READERS",
    "EditingMetanet",
    "GraphMetanet",
    "GraphReader",
    "IOEncoding",
    "InvariantPool",
    "MonomialLayer",
    "NFLayer",
    "NeuronMetanet",
    "NeuronReader",
    "Quasi",
    "QuasiScaling",
    "ReadingMetanet",
    "StatNN",
    "WeightGraph",
    "statistic_names",
    "weight_statistics",
]
