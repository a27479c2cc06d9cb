"""Training a metanetwork with skorch: :func:`train`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler, PrintLog
from torch import nn
from tqdm.auto import tqdm

from skmeta.learning.batches import SameDepthBatches, same_depth_loader
from skmeta.learning.on_positions import MeanCriterion, OnPositions
from skmeta.learning.settings import TrainingSettings


def train(
    settings: TrainingSettings,
    module: OnPositions,
    targets: Any = None,
    *,
    seed: int,
    criterion: Callable[..., nn.Module] = MeanCriterion,
    callbacks: Sequence[tuple[str, Callback]] = (),
) -> NeuralNet:
    """Train the metanetwork of a module, which then forgets the networks.

    Parameters
    ----------
    settings : TrainingSettings
        How.
    module : OnPositions
        A metanetwork and the networks that it learns from.
    targets : array-like or tuple of these, optional
        What the criterion compares the outputs of the module with, one for each network.
    seed : int
        Draws the order of the networks.
    criterion : callable
        Class of the loss.
    callbacks : sequence of (name, Callback)
        What training needs in any case.

    Returns
    -------
    NeuralNet
        With the losses in its ``history``; the metanetwork is in evaluation mode.

    Raises
    ------
    ValueError
        If the metanetwork diverged.
    """
    net = _build_net(settings, module, seed, criterion, callbacks)
    net.fit(np.arange(len(module.where)), targets)
    module.forget()
    if not all(p.isfinite().all() for p in module.metanet.parameters()):
        raise ValueError(
            "The training of the metanetwork diverged: its weights are not finite. Lower 'lr', "
            "or leave out networks with extreme weights."
        )
    module.metanet.eval()
    return net


def _build_net(
    settings: TrainingSettings,
    module: OnPositions,
    seed: int,
    criterion: Callable[..., nn.Module],
    callbacks: Sequence[tuple[str, Callback]],
) -> NeuralNet:
    generator, groups = torch.Generator().manual_seed(seed), module.by_depth()
    fixed = {
        # A callable: skorch does not let set_params replace a module by a module.
        "module": partial(_given, module),
        "criterion": criterion,
        "iterator_train": partial(same_depth_loader, groups=groups, generator=generator),
        "iterator_valid": partial(same_depth_loader, groups=groups, generator=None),
        "device": str(settings.device),
    }
    if settings.net is not None:
        net = clone(settings.net).set_params(**fixed)
        if callbacks:
            net.set_params(callbacks=[*(net.callbacks or []), *callbacks])
        return net
    n_steps = settings.max_epochs * len(SameDepthBatches(groups, settings.batch_size, generator))
    schedule = LRScheduler(
        torch.optim.lr_scheduler.CosineAnnealingLR, T_max=n_steps, step_every="batch"
    )
    own = [("clip", GradientNormClipping(1.0)), ("schedule", schedule), *callbacks]
    if settings.verbose == 1:
        own.append(("bar", EpochBar(settings.owner)))
    return NeuralNet(
        **fixed,
        max_epochs=settings.max_epochs,
        lr=settings.lr,
        batch_size=settings.batch_size,
        optimizer=torch.optim.AdamW,
        train_split=None,
        callbacks=own + deepcopy(settings.callbacks or []),
        callbacks__print_log=PrintLog() if settings.verbose > 1 else None,
        verbose=int(settings.verbose > 1),
    )


def _given(module: nn.Module) -> nn.Module:
    return module


class EpochBar(Callback):
    """A progress bar over epochs with the training loss.

    Parameters
    ----------
    title : str
        Stands in front of the bar.
    """

    def __init__(self, title: str) -> None:
        self.title = title

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = tqdm(total=net.max_epochs, desc=self.title, unit="epoch")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Advance the bar."""
        self.bar_.set_postfix(loss=f"{net.history[-1, 'train_loss']:.4f}")
        self.bar_.update()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar; it does not belong into a pickle."""
        self.bar_.close()
        del self.bar_
