"""Second moments at the linear layers of a live module: :class:`LayerMoments`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
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
    """

    def __init__(self, layers: dict[str, nn.Linear]) -> None:
        self.active = False
        self._names = {id(layer): name for name, layer in layers.items()}
        self._rows: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._handles: list[RemovableHandle] = [
            layer.register_forward_hook(Hook(self, "_look"), with_kwargs=True)
            for layer in layers.values()
        ]

    def _look(self, layer: nn.Linear, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        if not self.active or not isinstance(output, Tensor) or not output.requires_grad:
            return
        if not output.numel():
            return
        if not torch.compiler.is_compiling() and is_functorch_wrapped_tensor(output):
            return
        name, h = self._names[id(layer)], (args[0] if args else kwargs["input"]).detach()
        output.register_hook(lambda delta: self._add(name, h, delta))

    @torch.no_grad()
    def _add(self, name: str, h: Tensor, delta: Tensor) -> None:
        h, delta = (t.reshape(-1, t.shape[-1]) for t in (h, delta))
        self._rows.setdefault(name, []).append((h, delta))

    @property
    def names(self) -> set[str]:
        """Weights of layers that saw something."""
        return set(self._rows)

    def forget(self) -> None:
        """Leave out what was seen so far."""
        self._rows = {}

    def take(self, dtype: torch.dtype) -> dict[str, Moments]:
        """Return what was seen since the last time.

        Parameters
        ----------
        dtype : dtype
            Of the moments.

        Returns
        -------
        dict of str to Moments
            By the name of the weight; layers that saw nothing are left out.
        """
        rows, self._rows = self._rows, {}
        found = {}
        for name, pairs in rows.items():
            h, delta = (torch.cat(parts).to(dtype)[None] for parts in zip(*pairs, strict=True))
            found[name] = Moments(torch.cat([h, torch.ones_like(h[..., :1])], -1), delta)
        return found

    def remove(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
