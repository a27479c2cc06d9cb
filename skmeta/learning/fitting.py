"""Building the metanetwork and the skorch net that trains it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler, PrintLog
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler, Subset
from tqdm.auto import tqdm

from skmeta.learning.training_module import MeanCriterion, OnPositions


def build_net(
    estimator: Any,
    module: OnPositions,
    *,
    seed: int,
    criterion: type[nn.Module] = MeanCriterion,
    callbacks: Sequence[tuple[str, Callback]] = (),
) -> NeuralNet:
    """Build the skorch net of an estimator, or clone it from its ``net`` parameter.

    Parameters
    ----------
    estimator : estimator
        With the training parameters of :class:`ComplianceEditor` and ``device_``.
    module : OnPositions
        What to train.
    seed : int
        Draws the order of the networks.
    criterion : Module class
        Compares what the module returns with the targets.
    callbacks : sequence of (name, Callback)
        What training needs in any case.
    """
    owner = type(estimator).__name__
    generator, groups = torch.Generator().manual_seed(seed), module.by_depth()
    fixed = {
        # A callable: skorch does not let set_params replace a module by a module.
        "module": partial(_given, module),
        "criterion": criterion,
        "iterator_train": partial(same_depth_loader, groups=groups, generator=generator),
        "iterator_valid": partial(same_depth_loader, groups=groups, generator=None),
        "device": str(estimator.device_),
    }
    if estimator.net is not None:
        if not isinstance(estimator.net, NeuralNet):
            raise TypeError(
                f"The 'net' parameter of {owner} must be a skorch.NeuralNet. Got "
                f"{type(estimator.net).__name__} instead."
            )
        template = clone(estimator.net).set_params(**fixed)
        if callbacks:
            template.set_params(callbacks=[*(template.callbacks or []), *callbacks])
        return template
    n_steps = estimator.max_epochs * len(SameDepthBatches(groups, estimator.batch_size, generator))
    schedule = LRScheduler(
        torch.optim.lr_scheduler.CosineAnnealingLR, T_max=n_steps, step_every="batch"
    )
    own = [("clip", GradientNormClipping(1.0)), ("schedule", schedule), *callbacks]
    if estimator.verbose == 1:
        own.append(("bar", EpochBar(owner)))
    return NeuralNet(
        **fixed,
        max_epochs=estimator.max_epochs,
        lr=estimator.lr,
        batch_size=estimator.batch_size,
        optimizer=torch.optim.AdamW,
        train_split=None,
        callbacks=own + deepcopy(estimator.callbacks or []),
        callbacks__print_log=PrintLog() if estimator.verbose > 1 else None,
        verbose=int(estimator.verbose > 1),
    )


def _given(module: nn.Module) -> nn.Module:
    return module


class SameDepthBatches(Sampler[list[int]]):
    """Batches of networks of one depth.

    One graph of many networks takes fewer and larger operations than one per depth. In random
    order, those of a depth that do not fill a last batch sit an epoch out.

    Parameters
    ----------
    groups : sequence of Tensor of int
        Positions of the networks of each depth.
    batch_size : int
        Networks per batch; a depth with fewer gives one batch of all.
    generator : torch.Generator or None
        Draws the order; None keeps it, and every network.
    """

    def __init__(
        self, groups: Sequence[Tensor], batch_size: int, generator: torch.Generator | None
    ) -> None:
        self.groups, self.batch_size, self.generator = groups, batch_size, generator

    def __len__(self) -> int:
        if self.generator is None:
            return sum(-(-len(group) // self.batch_size) for group in self.groups)
        return sum(max(len(group) // self.batch_size, 1) for group in self.groups)

    def __iter__(self) -> Iterator[list[int]]:
        batches: list[Tensor] = []
        for group in self.groups:
            if self.generator is None:
                batches += group.split(self.batch_size)
                continue
            order = group[torch.randperm(len(group), generator=self.generator)]
            n_whole = len(order) // self.batch_size * self.batch_size or len(order)
            batches += order[:n_whole].split(self.batch_size)
        if self.generator is not None:
            order = torch.randperm(len(batches), generator=self.generator)
            batches = [batches[number] for number in order]
        yield from (batch.tolist() for batch in batches)


def same_depth_loader(
    dataset: Dataset,
    batch_size: int,
    *,
    groups: Sequence[Tensor],
    generator: torch.Generator | None,
) -> DataLoader:
    """Build a loader for skorch's ``iterator_train`` or, without a generator, ``iterator_valid``.

    The networks may have been split by skorch's ``train_split``.
    """
    if isinstance(dataset, Subset):
        place = {int(position): i for i, position in enumerate(dataset.indices)}
        local = [[place[p] for p in group.tolist() if p in place] for group in groups]
        groups = [torch.tensor(members) for members in local if members]
    sampler = SameDepthBatches(groups, batch_size, generator)
    # Without a generator the loader draws a seed from the global one.
    return DataLoader(dataset, batch_sampler=sampler, generator=generator or torch.Generator())


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
