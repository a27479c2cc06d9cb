"""Second moments at the linear layers of a live module: :class:`LayerMoments`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from skmeta.optimizing.hooks import Hook
from skmeta.training import Moments


class LayerMoments:
    """Watches the ``nn.Linear`` layers of a module while it is trained.

    Rows are kept of all calls until they are taken: of those of a layer that is used several times,
    and of the batches of an accumulated gradient.

    Parameters
    ----------
    layers : dict of str to Linear
        By the name of the weight.
    dtype : dtype
        Of the moments.
    """

    def __init__(self, layers: dict[str, nn.Linear], dtype: torch.dtype) -> None:
        self.active, self._dtype = False, dtype
        self._names = {id(layer): name for name, layer in layers.items()}
        self._rows: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._handles: list[RemovableHandle] = [
            layer.register_forward_hook(Hook(self, "_look")) for layer in layers.values()
        ]

    def _look(self, layer: nn.Linear, args: tuple, output: Any) -> None:
        if not self.active or not isinstance(output, Tensor) or not output.requires_grad:
            return
        name, h = self._names[id(layer)], args[0].detach()
        output.register_hook(lambda delta: self._add(name, h, delta))

    @torch.no_grad()
    def _add(self, name: str, h: Tensor, delta: Tensor) -> None:
        h, delta = (t.flatten(0, -2).to(self._dtype) for t in (h, delta))
        h = torch.cat([h, torch.ones_like(h[:, :1])], 1)
        self._rows.setdefault(name, []).append((h, delta))

    def take(self) -> dict[str, Moments]:
        """Return what was seen since the last time.

        Returns
        -------
        dict of str to Moments
            By the name of the weight; layers that saw nothing are left out.
        """
        rows, self._rows = self._rows, {}
        parts = {name: zip(*pairs, strict=True) for name, pairs in rows.items()}
        return {name: Moments(*(torch.cat(p)[None] for p in both)) for name, both in parts.items()}

    def remove(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
