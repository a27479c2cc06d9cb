"""Batches of networks of one depth: :func:`same_depth_loader`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset


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
