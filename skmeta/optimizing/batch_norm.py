"""Running statistics of a live module that belong to its weights: :class:`RecentBatches`."""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map_only

_MOST = 16
"""Batches that are kept."""


class RecentBatches:
    """The last batches of a module with batch normalisation, to measure its statistics on.

    Running statistics are those of the weights that are trained; averaged weights have others.

    Parameters
    ----------
    module : Module
        It may have none; then nothing is kept.
    """

    def __init__(self, module: nn.Module) -> None:
        self._norms = [
            norm
            for norm in module.modules()
            if isinstance(norm, _BatchNorm) and norm.running_mean is not None
        ]
        self._calls: deque[tuple[tuple, dict]] = deque(maxlen=_MOST)
        self._trained: list[_BatchNorm] = []  # those that are not frozen

    def keep(self, args: tuple, kwargs: dict[str, Any]) -> None:
        """Take note of what the module was called with.

        Parameters
        ----------
        args : tuple
            Positional ones.
        kwargs : dict
            Others.
        """
        if self._norms:
            # Copies: callers use their memory again, and graphs would live on.
            self._calls.append(tree_map_only(Tensor, lambda x: x.detach().clone(), (args, kwargs)))
            self._trained = [norm for norm in self._norms if norm.training]

    def recalibrate(self, module: nn.Module) -> None:
        """Measure statistics anew, with the weights that the module has now.

        Parameters
        ----------
        module : Module
            It is called without dropout, which draws nothing, as it will be called when it
            predicts.
        """
        if not (trained := self._trained):
            return
        modes = {part: part.training for part in module.modules()}
        momenta = [norm.momentum for norm in trained]
        counts = [copy.deepcopy(norm.num_batches_tracked) for norm in trained]
        module.eval()
        for norm in trained:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # a plain mean over batches
        like = next(p for p in module.parameters() if p.is_floating_point())

        def fitting(x: Tensor) -> Tensor:
            return x.to(like) if x.is_floating_point() else x.to(like.device)

        try:
            with torch.no_grad():
                for call in self._calls:
                    args, kwargs = tree_map_only(Tensor, fitting, call)
                    module.forward(*args, **kwargs)
        finally:
            for part, training in modes.items():
                part.training = training
            for norm, momentum, count in zip(trained, momenta, counts, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, count
