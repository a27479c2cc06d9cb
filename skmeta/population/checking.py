"""The self-check of the adapters: what a record computes is what its network says.

A few random rows go through the network itself and, with all other networks at once,
through the records. Whatever an adapter does not know of (hooks, output rules, methods
of a subclass) shows here if it changes a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from skmeta.networks.adapters._common import Answer, InputScaling, UnsupportedNetworkError
from skmeta.population.blocks import Block
from skmeta.population.running import run_stack

_GROUPS = {1: slice(0, 3), 10: slice(3, 5), 100: slice(5, 6)}
"""Rows of ordinary size, and larger ones: where activations saturate."""

_ROUNDINGS = 30.0
"""How often the error that float32 makes in the record a network may differ from it."""

_MOST = 5e-4
"""Relative difference that no loss of digits excuses: the numbers would be wrong."""


_NOTHING = 1e-10
"""A difference that is none: probabilities next to zero, whose digits logits do not fix."""


class Said(list):
    """What one network says to each of its questions, on rows of its own."""

    def __init__(self, answers: Sequence[Answer], rows: Tensor, outputs: Sequence[Tensor]) -> None:
        self.rows = rows
        self.answers = answers
        super().__init__(map(_as_rows, outputs))

    @classmethod
    def asked(cls, answers: Sequence[Answer], rows: Tensor) -> Said:
        """Put the questions to the network."""
        return cls(answers, rows, [_ask(answer, rows) for answer in answers])


def rows_for(n_inputs: int, scaling: InputScaling | None) -> Tensor:
    """Return the rows that a network is asked about, in float64."""
    rows = _standard_rows(n_inputs)
    if scaling is None:
        return rows
    # The rows that the scaling makes ordinary ones of, as float32 holds them.
    unscaled = (rows.numpy() - scaling.offset) / scaling.factor
    return torch.from_numpy(unscaled).float().double()


@lru_cache(maxsize=4)
def _standard_rows(n_inputs: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    n_rows = max(group.stop for group in _GROUPS.values())
    rows = torch.randn(n_rows, n_inputs, generator=generator, dtype=torch.float32)
    for size, group in _GROUPS.items():
        rows[group] *= size
    return rows.double()


def _ask(answer: Answer, rows: Tensor) -> Tensor:
    try:
        with torch.no_grad(), np.errstate(all="ignore"):
            return torch.as_tensor(answer.ask(rows.clone())).detach()
    except UnsupportedNetworkError:
        raise
    except Exception as error:
        raise UnsupportedNetworkError(
            f"its own {answer.name} fails on random rows ({type(error).__name__}: {error})."
        ) from error


def _as_rows(said: Tensor) -> Tensor:
    said = said.to("cpu", torch.float64)
    return said.reshape(len(said), -1) if said.numel() and said.ndim else said


def not_finite(blocks: Sequence[Block]) -> dict[int, str]:
    """Return which networks have numbers that are not finite, in order, and where the first are."""
    out: dict[int, str] = {}
    for positions, stack in blocks:
        for numbers in (stack.weights, stack.statistics):
            if numbers.flat.isfinite().all():
                continue
            for slot, tensor in zip(numbers.layout.slots, numbers.views, strict=True):
                for row in (~tensor.isfinite().flatten(1).all(1)).nonzero().flatten().tolist():
                    where = f"the {slot.field} of layer {slot.stage + 1}"
                    out.setdefault(int(positions[row]), where)
    return dict(sorted(out.items()))


def differences(blocks: Sequence[Block], said: Sequence[Said | None]) -> dict[int, str]:
    """Return which networks say something else than their records, in order, and what.

    Parameters
    ----------
    blocks : sequence of (positions, Stack)
        Networks as they were read.
    said : sequence of Said or None
        Of each network, what itself computes; None of those that need not be asked.
    """
    out: dict[int, str] = {}
    for positions, stack in blocks:
        heard = [(r, p, s) for r, p in enumerate(positions.tolist()) if (s := said[p]) is not None]
        if not heard:
            continue
        stack = stack.select([row for row, _, _ in heard])
        rows = torch.stack([one.rows for _, _, one in heard])
        ours = run_stack(stack, rows.to(stack.dtype)).double()
        groups: dict[tuple, list[int]] = {}
        for row, (_, _, one) in enumerate(heard):
            for number, answer in enumerate(one.answers):
                key = number, answer.link, answer.rounding, one[number].shape
                groups.setdefault(key, []).append(row)
        for (number, link, rounding, _), index in groups.items():
            theirs = torch.stack([heard[row][2][number] for row in index])
            # float64 says how much float32 loses; most agree without asking.
            for k in _suspects(link(ours[index]), theirs, rounding):
                row = index[k]
                _, position, one = heard[row]
                exact = run_stack(stack.select([row]).to(dtype=torch.float64), rows[[row]])
                text = _difference(link(exact[0]), link(ours[row]), theirs[k], rounding)
                if text is not None:
                    answer = one.answers[number]
                    out.setdefault(position, f"its own {answer.name} {text}. {answer.cause}")
    return dict(sorted(out.items()))


def _suspects(ours: Tensor, theirs: Tensor, rounding: float) -> list[int]:
    """Return which networks of a stack do not say what was computed to within rounding."""
    if theirs.shape != ours.shape:
        return list(range(len(ours)))
    agree = torch.ones(len(ours), dtype=torch.bool)
    for group in _GROUPS.values():
        a, b = ours[:, group], theirs[:, group]
        size = a.abs().amax((1, 2), keepdim=True)
        agree &= ((a - b).abs() <= rounding * size + _NOTHING).flatten(1).all(1)
    return (~agree).nonzero().flatten().tolist()


def _difference(exact: Tensor, ours: Tensor, theirs: Tensor, rounding: float) -> str | None:
    """Say how one network differs from what it says, None if float32 explains it."""
    if theirs.shape != ours.shape:
        shapes = tuple(theirs.shape), tuple(ours.shape)
        return "gives the shape {} for a few rows, where its layers give {}".format(*shapes)
    # What overflows is seen to do so; a NaN of the network's own is a difference.
    known = ours.isfinite() & exact.isfinite()
    lost = torch.where(known, ours - exact, 0.0).abs()
    size = torch.where(known, exact, 0.0).abs()
    for group in _GROUPS.values():
        most = size[group].max()
        allowed = (
            _NOTHING + most * rounding + (lost[group].max() * _ROUNDINGS).minimum(most * _MOST)
        )
        a, b = ours[group], theirs[group]
        wrong = (known[group] & ~((a - b).abs() <= allowed)).nonzero()
        if len(wrong):
            k = tuple(wrong[0].tolist())
            return (
                f"gives {b[k]:.6g} for output {k[1]} of a random row, where its layers compute "
                f"{a[k]:.6g}"
            )
    return None
