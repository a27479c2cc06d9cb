"""A module whose weights are those that its caller wants: :class:`AttachedModule`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skmeta.optimizing.batch_norm import RecentBatches
from skmeta.optimizing.course import Course
from skmeta.optimizing.flat import FlatParameters
from skmeta.optimizing.hooks import Hook, owners_at
from skmeta.optimizing.layers import LayerMoments
from skmeta.training import Matrix


def _is_going_back() -> bool:
    """Whether this is called in a backward pass."""
    return torch._C._current_graph_task_id() >= 0


class AttachedModule:
    """A module that has averaged weights, but for calls in training.

    Whoever reads its parameters, its ``state_dict`` or its predictions gets the average. A call in
    training mode, with gradients, gets the last weights, which stay until the next step or another
    kind of call.

    Parameters
    ----------
    module : Module
        Who else was attached to it leaves it.
    named : mapping of str to Parameter
        What is trained.

    Attributes
    ----------
    course : Course or None
        Of the training; None before the first step.
    was_trained : bool
        Whether there was a call in training since the last step.
    """

    def __init__(self, module: nn.Module, named: Mapping[str, nn.Parameter]) -> None:
        for other in owners_at(module, AttachedModule):
            other.leave()
        self.module, self.course, self.was_trained = module, None, False
        self._named, self.flat = named, FlatParameters(named)
        names = {id(p): name for name, p in named.items()}
        self.linear: dict[str, nn.Linear] = {}  # one weight counts once
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and id(layer.weight) in names:
                self.linear.setdefault(names[id(layer.weight)], layer)
        self.moments = LayerMoments(self.linear)
        self._recent = RecentBatches(module)
        self._shows_average, self._stale = True, False
        self._handles = [
            module.register_forward_pre_hook(Hook(self, "_before_call"), with_kwargs=True),
            module.register_state_dict_pre_hook(Hook(self, "_before_saving")),
            module.register_load_state_dict_post_hook(Hook(self, "_after_loading")),
        ]

    course: Course | None

    def leave(self) -> None:
        """Watch no longer; the module keeps the averaged weights."""
        self.show_average()
        self._unhook()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # whatever is left of the module
            self.leave()

    def _unhook(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.moments.remove()

    @property
    def watches(self) -> bool:
        """Whether calls are seen."""
        return bool(self._handles)

    def matrices(self, layers: list[str]) -> list[Matrix]:
        """Return where linear layers are among the parameters.

        Parameters
        ----------
        layers : list of str
            Names of their weights.

        Returns
        -------
        list of Matrix
        """
        last = list(self.linear)[-1:]
        return [
            self.flat.matrix(i, name, f"{name.removesuffix('weight')}bias", hidden=name not in last)
            for i, name in enumerate(layers)
        ]

    def begin(self) -> Tensor:
        """Return the parameters as they are, ``(1, n_parameters)``."""
        self.flat = FlatParameters(self._named)  # of the type that they have by now
        start = self.flat.read()
        self.flat.write(start)
        self._shows_average = True
        return start

    def resume(self, course: Course) -> None:
        """Go on from somewhere else, and show its average.

        Parameters
        ----------
        course : Course
            Of this module.
        """
        self.course = course
        self.flat.write(course.average)
        self._shows_average = True

    def stepped(self, *, averaged: bool) -> None:
        """Show the average behind a step.

        Parameters
        ----------
        averaged : bool
            Whether it differs from the last weights, so that running statistics do.
        """
        assert self.course is not None
        self.flat.write(self.course.average)
        self._shows_average, self.was_trained, self._stale = True, False, averaged

    def adopt(self) -> None:
        """Go on from parameters that somebody else has set, if somebody has."""
        if self.course is None or (found := self.flat.changed()) is None:
            return
        now, where = found
        self.course.last = torch.where(where, now, self.course.last)
        self.course.average = torch.where(where, now, self.course.average)
        self.flat.write(now)

    def show_average(self) -> None:
        """Give the module the averaged weights, and running statistics that go with them."""
        if self.course is None:
            return
        if not self._shows_average:
            self.adopt()
            self.flat.write(self.course.average)
            self._shows_average = True
        if self._stale:
            self._stale = False
            self._recent.recalibrate(self.module)

    def _show_last(self) -> None:
        if self.course is not None and self._shows_average:
            self.adopt()
            self.flat.write(self.course.last)
            self._shows_average = False

    def _before_call(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        if module.training and torch.is_grad_enabled():
            going_back = not torch.compiler.is_compiling() and _is_going_back()
            if self.course is not None and self._shows_average and going_back:
                raise RuntimeError(
                    "A checkpoint runs the module without gradients first, and with other weights "
                    "than in training. Call torch.utils.checkpoint.checkpoint with "
                    "use_reentrant=False."
                )
            if all(p.grad is None for p in self.flat.parameters):
                self.moments.forget()  # those of gradients that nobody wanted
            self.was_trained = True
            self._recent.keep(args, kwargs)
            self._show_last()
        else:
            self.show_average()

    def _before_saving(self, *_: Any) -> None:
        self.show_average()

    def _after_loading(self, *_: Any) -> None:
        self.adopt()
        self._stale = False  # statistics were loaded, too
