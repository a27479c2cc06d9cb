"""Where samples are in the graph of a call, asked of autograd: :class:`Probes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skmeta.gradients.modules.graph import gradients_at
from skmeta.gradients.modules.kinds import SHAREABLE, SharedBySamplesError, Use
from skmeta.gradients.modules.layouts import (
    SampleLayout,
    belongs_to,
    groups_of,
    possible_layouts,
)
from skmeta.gradients.modules.terms import Term, total

_N_ROUNDINGS = 16

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}


@dataclass(frozen=True)
class Probes:
    """Backward passes for groups of samples, through the graph behind the outputs of a call.

    Attributes
    ----------
    outputs : list of Tensor
        Of the call.
    parameters : mapping of str to Parameter
        Those that count.
    n_samples : int
        Size of the batch.
    sample_axis : int
        Of the outputs.
    """

    outputs: list[Tensor]
    parameters: Mapping[str, nn.Parameter]
    n_samples: int
    sample_axis: int

    def arrives(self, uses: list[Use]) -> bool:
        """Tell whether there is a gradient at some uses, other than zero."""
        if not uses:
            return False
        everything = torch.ones(self.n_samples, dtype=torch.bool)
        deltas = self.probe(uses, everything)[: len(uses)]
        return any(delta is not None and bool(delta.any()) for delta in deltas)

    def shared_by_all(self, uses: list[Use]) -> frozenset[int]:
        """Return which uses make something that is the same for all samples, as positions are."""
        maybe = [i for i, u in enumerate(uses) if type(u.node).__name__.startswith(SHAREABLE)]
        left = self._possible([uses[i] for i in maybe])
        for group in groups_of(self.n_samples) if maybe else ():
            deltas = self.probe([uses[i] for i in maybe], group)
            for some, delta in zip(left, deltas, strict=False):
                _leave(some, delta, group)
        return frozenset(i for i, some in zip(maybe, left, strict=True) if not some)

    def _possible(self, uses: list[Use]) -> list[list[SampleLayout]]:
        shapes = [signature(use)[1] for use in uses]
        return [
            list(
                possible_layouts(
                    shape, self.n_samples, len(shape) if u.n_leading is None else u.n_leading
                )
            )
            for shape, u in zip(shapes, uses, strict=True)
        ]

    def ask(
        self, uses: list[Use], others: dict[str, list[str]]
    ) -> tuple[list[SampleLayout | None], list[int]]:
        """Go back from groups of samples: say where samples are, and check the factors.

        The second value are the uses that no gradient has told it of, or not enough.
        """
        reasons = {name: f"used by {', '.join(sorted(set(by)))}" for name, by in others.items()}
        left, hit = self._possible(uses), [False] * len(uses)
        for group in groups_of(self.n_samples):
            found = self.probe(uses, group, list(self.parameters.values()))
            deltas, gradients = found[: len(uses)], found[len(uses) :]
            for i, delta in enumerate(deltas):
                hit[i] |= _leave(left[i], delta, group)
            self._compare(uses, left, deltas, gradients, reasons)
        if reasons:
            said = "; ".join(f"{name!r} ({reason})" for name, reason in reasons.items())
            raise ValueError(
                f"record has no factors of {len(reasons)} parameters: {said}. Pass their names as "
                "'skip', freeze them (requires_grad_(False)), or, for a batch normalisation, "
                "call eval()."
            )
        unsure = [i for i, some in enumerate(left) if not hit[i] or len(some) > 1]
        return [some[0] if some else None for some in left], unsure

    def probe(
        self,
        uses: list[Use],
        samples: Tensor,
        parameters: Sequence[Tensor] = (),
    ) -> list[Tensor | None]:
        """Go back from the outputs of some samples, to uses and parameters."""
        generator = torch.Generator().manual_seed(0)
        cotangents = []
        for t in self.outputs:
            g = torch.randn(t.shape, generator=generator).to(t).movedim(self.sample_axis, 0)
            g[~samples.to(g.device)] = 0
            cotangents.append(g.movedim(0, self.sample_axis))
        return gradients_at(uses, self.outputs, cotangents, parameters, keep_graph=True)

    def _compare(
        self,
        uses: list[Use],
        left: list[list[SampleLayout]],
        deltas: list[Tensor | None],
        gradients: list[Tensor | None],
        reasons: dict[str, str],
    ) -> None:
        """Note parameters whose samples are mixed, or whose factors do not give the gradient."""
        terms: dict[str, list[Term]] = {}
        noise = dict.fromkeys(self.parameters, 0.0)
        for use, some, delta in zip(uses, left, deltas, strict=True):
            for target, make in use.targets:
                try:
                    if some and delta is not None:
                        term = make(delta, some[0])
                        terms.setdefault(target.name, []).append(term)
                        noise[target.name] += _rounding(delta) * term.reach
                        continue
                except SharedBySamplesError:
                    pass
                if delta is not None:
                    where = type(use.node).__name__
                    reasons.setdefault(target.name, f"samples are mixed at {where}")
        for name, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is not None and name not in reasons:
                if name not in terms or not _close(total(terms[name]), gradient, noise[name]):
                    reasons[name] = "its factors do not give its gradient"


def _leave(layouts: list[SampleLayout], delta: Tensor | None, samples: Tensor) -> bool:
    """Drop layouts that a gradient of some samples contradicts; say whether there was any."""
    if delta is None or not delta.any():
        return False
    layouts[:] = [layout for layout in layouts if belongs_to(delta, layout, samples)]
    return True


def signature(use: Use) -> tuple:
    """What says that a use of another call is the same."""
    shape = tuple(use.node._input_metadata[0].shape)
    return type(use.node).__name__, shape, tuple(t._replace(path=()) for t, _ in use.targets)


def _rounding(delta: Tensor) -> float:
    """How far sums of products with a gradient may be off: of zero, it is all there is."""
    return float(_N_ROUNDINGS * torch.finfo(delta.dtype).eps * delta.abs().sum())


def _close(found: Tensor, wanted: Tensor, noise: float) -> bool:
    wanted = wanted.to_dense() if wanted.is_sparse else wanted
    tolerance = max(_TOLERANCE.get(x.dtype, 0.05) for x in (found, wanted))
    return bool((found - wanted).abs().max() <= tolerance * wanted.abs().max() + noise + 1e-30)
