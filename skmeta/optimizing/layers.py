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

    Moments add up over all calls until they are taken: over those of a layer that is used several
    times, and over the batches of an accumulated gradient.

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
        self._sums: dict[str, tuple[Tensor, Tensor, int]] = {}
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
        inputs, outputs, n = h.T @ h, delta.T @ delta, len(h)
        if name in self._sums:
            before = self._sums[name]
            inputs, outputs, n = before[0] + inputs, before[1] + outputs, before[2] + n
        self._sums[name] = inputs, outputs, n

    def take(self) -> dict[str, Moments]:
        """Return what was seen since the last time.

        Returns
        -------
        dict of str to Moments
            By the name of the weight; layers that saw nothing are left out.
        """
        sums, self._sums = self._sums, {}
        return {name: Moments(a[None] / n, g[None]) for name, (a, g, n) in sums.items()}

    def remove(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
