"""What follows from the architectures of a stack: layouts, padding masks, programs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from skmeta.networks.architecture import Architecture
from skmeta.networks.ops import Norm
from skmeta.networks.slots import Slot
from skmeta.population.columns import StagePlan, plan_stage
from skmeta.population.weights import Layout, Weights

_FIELDS = ("weight", "bias", "scale", "shift", "mean", "var")


def layouts_of(
    architectures: Sequence[Architecture], widths: Sequence[int]
) -> tuple[Layout, Layout]:
    """Return where networks of one depth, padded to common widths, keep their numbers.

    Parameters
    ----------
    architectures : sequence of Architecture
        The networks.
    widths : sequence of int
        Padded sizes of all states.

    Returns
    -------
    trained, statistics : Layout
        Of all slots that any network has.
    """
    slots: dict[str, Slot] = {}
    for architecture in dict.fromkeys(architectures):
        for slot in architecture.slots:
            if slot.name not in slots:
                shape = tuple(
                    size if axis is None else widths[axis]
                    for axis, size in zip(slot.axes, slot.shape, strict=True)
                )
                slots[slot.name] = slot._replace(shape=shape)
    found = sorted(slots.values(), key=lambda slot: (slot.stage, _FIELDS.index(slot.field)))
    trained, others = ([s for s in found if s.trained == kind] for kind in (True, False))
    return Layout(tuple(trained)), Layout(tuple(others))


class Structure:
    """The part of a :class:`Stack` that looks at shapes and architectures, not at numbers."""

    architectures: tuple[Architecture, ...]
    widths: tuple[int, ...]
    weights: Weights
    statistics: Weights
    _cache: dict

    def __len__(self) -> int:
        return len(self.architectures)

    @property
    def depth(self) -> int:
        """Number of stages."""
        return len(self.widths) - 1

    @property
    def geometry(self) -> tuple:
        """Images and convolutions that all networks share."""
        return self.architectures[0].geometry

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.weights.flat.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the tensors."""
        return self.weights.flat.dtype

    @cached_property
    def _true_widths(self) -> Tensor:
        return torch.tensor([a.widths for a in self.architectures], device="cpu")

    def state_mask(self, index: int) -> Tensor | None:
        """Ones at the true neurons of a state, zeros at the padding.

        Parameters
        ----------
        index : int
            Number of the state; 0 is the input.

        Returns
        -------
        Tensor of shape (n, width) or None
            None if no network is padded there.
        """
        key = ("mask", index, self.device, self.dtype)
        if key not in self._cache:
            true, width = self._true_widths[:, index], self.widths[index]
            mask = None
            if bool((true < width).any()):
                places = torch.arange(width, device=self.device)
                mask = (places < true.to(self.device)[:, None]).to(self.dtype)
            self._cache[key] = mask
        return self._cache[key]

    def true_neurons(self, index: int) -> Tensor:
        """Ones at the true neurons of a state, also where nothing is padded.

        Parameters
        ----------
        index : int
            Number of the state; 0 is the input.

        Returns
        -------
        Tensor of shape (n, width)
            Zeros at the padding.
        """
        mask = self.state_mask(index)
        shape = (len(self), self.widths[index])
        return torch.ones(shape, dtype=self.dtype, device=self.device) if mask is None else mask

    def present(self) -> Weights:
        """Ones where an entry is a true parameter, zeros at padding and absent parameters.

        Returns
        -------
        masks : Weights
            In the layout of :attr:`weights`.
        """
        key = ("present", self.device, self.dtype)
        if key not in self._cache:
            self._cache[key] = self._present(self.weights.layout)
        return self._cache[key]

    def _present(self, layout: Layout) -> Weights:
        names = {a: {slot.name for slot in a.slots} for a in set(self.architectures)}
        masks, like = [self.weights.flat.new_zeros(len(self), 0)], self.weights.flat
        for slot in layout.slots:
            flags = [slot.name in names[a] for a in self.architectures]
            mask = torch.tensor(flags).to(like).view(-1, *[1] * len(slot.shape))
            mask = mask.expand(-1, *slot.shape)
            for axis, state in enumerate(slot.axes, start=1):
                if state is not None and (true := self.state_mask(state)) is not None:
                    shape = [len(self), *[1] * len(slot.shape)]
                    shape[axis] = -1
                    mask = mask * true.view(shape)
            masks.append(mask.flatten(1))
        return Weights(layout, torch.cat(masks, 1))

    def values(self, weights: Weights) -> dict[str, Tensor]:
        """Return weights and running statistics under their names.

        Parameters
        ----------
        weights : Weights
            Of the networks.

        Returns
        -------
        dict of str to Tensor
            With the networks' own statistics.
        """
        return {**dict(weights.items()), **dict(self.statistics.items())}

    def vectors(self, field: str, weights: Weights | None = None) -> list[Tensor]:
        """Numbers of all neurons behind the inputs.

        Parameters
        ----------
        field : {"bias", "scale", "shift", "mean", "var"}
            Of slots with one number per neuron.
        weights : Weights, optional
            A direction in place of the networks' own numbers: zero where it has none.

        Returns
        -------
        list of Tensor
            ``(n, width)`` per stage; neutral numbers where no network has the field.
        """
        neutral, own = Norm.fields.get(field, 0.0) if weights is None else 0.0, weights
        if own is None:
            own = self.weights if field in ("bias", "scale", "shift") else self.statistics
        found = []
        for stage, width in enumerate(self.widths[1:]):
            values = own.get(f"{stage}.{field}")
            if values is None:
                values = own.flat.new_full((1, 1), neutral).expand(len(own), width)
            found.append(values)
        return found

    def absent_slot(self) -> Slot | None:
        """Return a slot of which a network has numbers though it lacks it; None if all is well.

        Returns
        -------
        Slot or None
            For instance the bias of a stage, of a network whose linear maps have none.
        """
        for kind in (self.weights, self.statistics):
            neutral = Weights.full(kind.layout, 1, kind.flat)
            wrong = (kind.flat != neutral.flat) & (self._present(kind.layout).flat == 0)
            if wrong.any():
                found = kind.with_flat(wrong)
                return next(s for s in kind.layout.slots if bool(found[s.name].any()))
        return None

    @property
    def plan(self) -> list[StagePlan]:
        """What is done in each stage, to which networks."""
        key = ("plan", self.device, self.dtype)
        if key not in self._cache:
            self._cache[key] = [
                plan_stage(self.architectures, k, self.state_mask(k + 1), self.device)
                for k in range(self.depth)
            ]
        return self._cache[key]

    @property
    def skip_sources(self) -> frozenset[int]:
        """States that skip connections start from."""
        if "sources" not in self._cache:
            stages = {stage for a in self.architectures for stage in a.stages}
            self._cache["sources"] = frozenset(s for stage in stages for s in stage.skips)
        return self._cache["sources"]

    def skips(self, index: int) -> list[tuple[int, Tensor | None]]:
        """Skip connections into a stage.

        Parameters
        ----------
        index : int
            Number of the stage.

        Returns
        -------
        list of (int, Tensor or None)
            The state a connection starts from and the rows of the networks that have it; None
            where all networks of the stack do.
        """
        pairs = [pair for column in self.plan[index].columns for pair in column.skips]
        return sorted(pairs, key=lambda pair: pair[0])
