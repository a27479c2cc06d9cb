"""Gradients of each sample from a training loop as it is: :class:`record`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from skmeta._checks import check_option, shown
from skmeta.gradients.modules.factors import ModuleFactors
from skmeta.gradients.modules.graph import Uses, find_uses, gradients_at
from skmeta.gradients.modules.kinds import Node, SharedBySamplesError, Use
from skmeta.gradients.modules.layouts import SampleLayout
from skmeta.gradients.modules.probes import Probes, signature
from skmeta.gradients.modules.terms import Term

_ASKED_AGAIN = frozenset(64**k for k in range(1, 6))
"""Calls with a graph that is known: a gate may have opened since."""


class record:  # noqa: N801 (called like a function, as torch.no_grad is)
    """Keep the factors of each sample's gradient while a module is trained or run.

    A context manager around a training loop: calls of the module in it are looked at, and the
    backward pass of the loop leaves the gradients at the outputs of all layers behind. No second
    pass is made, and nothing is changed. What enters a layer and the gradient at what leaves
    it are the factors of its weights' gradient (appendix B of the paper on gradient
    metanetworks [1]_); that of a sequence or an image is a sum over its positions.

    The graph of autograd is read, not the modules: functional calls, tied weights and modules
    that are used several times count like others, also in ``nn.TransformerEncoder``.

    Parameters
    ----------
    module : Module
        It returns one or more tensors with an axis of samples. Parameters that require a gradient
        count.
    reduction : {"mean", "sum"}, default="mean"
        How the loss is made of those of the samples. With "mean" the loss of a sample is what
        its terms would be without the division by the number of samples.
    sample_axis : int, default=0
        Which axis of the outputs are samples.
    skip : sequence of str, default=()
        Names of parameters to go without.

    Raises
    ------
    ValueError
        In a call of the module, if a parameter has no factors: its use is not known, or it mixes
        samples, as batch normalisation in training does. All are named.

    Notes
    -----
    The first call with a new graph, and the 64th, 4096th and so on, is followed by a backward
    pass for each of some groups of samples, twice the logarithm of their number: they tell where
    samples are in every tensor, and whether the factors give the gradient that autograd gives;
    hooks of yours on gradients see them. Where samples are picked or sorted by numbers (as by
    ``h[rows, last]``, or in packed tokens) every call is, and while the gradient at some use is
    zero one pass is made. What ``backward`` adds to parameters on other ways
    than through the outputs of the call (penalties on weights or on gradients, outputs kept on the
    side) is no part of the factors; ``factors(loss)`` refuses it. Gradients that are scaled, as by
    a ``GradScaler``, give scaled factors. Layers that ``backward(inputs=...)`` leaves out have
    factors of zero. Factors hold the batch, not a copy.

    References
    ----------
    .. [1] "GradMetaNet: an equivariant architecture for learning on gradients", section 3 and
       appendix B.1.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skmeta.gradients import record
    >>> generator = torch.Generator().manual_seed(0)
    >>> X, y = torch.randn(8, 3, generator=generator), torch.arange(8) % 2
    >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> with record(network) as recording:
    ...     nn.functional.cross_entropy(network(X), y).backward()
    ...     factors = recording.factors()
    >>> rows = factors.per_sample()
    >>> rows["0.weight"].shape
    torch.Size([8, 4, 3])
    >>> torch.allclose(rows["0.weight"].mean(0), network[0].weight.grad)
    True
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        reduction: str = "mean",
        sample_axis: int = 0,
        skip: Iterable[str] = (),
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"The 'module' of record must be a torch Module. Got {shown(module)}.")
        self.module = module
        self.reduction = check_option("reduction", reduction, ["mean", "sum"], owner="record")
        self.sample_axis, self.skip = sample_axis, frozenset(skip)
        if unknown := self.skip - dict(module.named_parameters()).keys():
            raise ValueError(
                f"The 'skip' parameter of record names no parameters of the module: "
                f"{sorted(unknown)}. They are named as in module.named_parameters()."
            )
        self._settled: dict[tuple, _Settled] = {}
        self._hooks: tuple = ()
        self._forget()

    def __deepcopy__(self, memo: dict) -> record:
        return self  # a copy of the module keeps the hooks, and is not looked at

    def __enter__(self) -> record:
        # What was kept of the last call goes before this one needs memory.
        self._hooks = (
            self.module.register_forward_pre_hook(self._before),
            self.module.register_forward_hook(self._look),
        )
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._forget()

    def factors(self, loss: Tensor | None = None) -> ModuleFactors:
        """Return the factors of the last call of the module, and of its last backward pass.

        Parameters
        ----------
        loss : Tensor, optional
            Goes back from this loss to the outputs of layers only: gradients of parameters are
            not computed, and the graph is gone afterwards. By default, the loop has gone back.

        Returns
        -------
        ModuleFactors
            Of all parameters that require a gradient, but for those to ``skip``.
        """
        if not self._uses:
            raise RuntimeError(
                "record has seen no call of the module. Call it within the block, with gradients "
                "enabled, and ask for factors there."
            )
        if loss is not None:
            self._check_loss(loss)
            found = gradients_at(self._uses, [loss])
            self._deltas.update({i: g for i, g in enumerate(found) if g is not None})
        elif not self._deltas:
            raise RuntimeError(
                "record has seen no backward pass since the last call of the module. Call "
                "loss.backward() first, or factors(loss)."
            )
        if self._went_elsewhere:
            raise RuntimeError(
                "What went back has used the module in several calls, or one call several times, "
                "and record has the factors of the last one only. Call the module once, on all "
                "samples, and go back once."
            )
        terms: dict[str, list[Term]] = {}
        for i, use in enumerate(self._uses):
            layout, delta = self._known[i], self._deltas.get(i)
            if layout is None or delta is None:
                continue
            if self.reduction == "mean":  # here it costs O(neurons)
                delta = delta * self._n_samples
            for target, make in use.targets:
                try:
                    terms.setdefault(target.name, []).append(make(delta, layout))
                except SharedBySamplesError:
                    raise RuntimeError(
                        f"Samples lie elsewhere than before where {target.name!r} is used, or "
                        "share it. Open another block for calls that treat their inputs otherwise."
                    ) from None
        return ModuleFactors(terms, self._parameters, self._n_samples)

    def _before(self, module: nn.Module, *_: Any) -> None:
        # A call for validation leaves what is kept alone.
        if module is self.module and torch.is_grad_enabled():
            self._forget()

    def _forget(self) -> None:
        self._parameters: dict[str, nn.Parameter] = {}
        self._uses: list[Use] = []
        self._shared: set[Node] = set()
        self._known: list[SampleLayout | None] = []
        self._deltas: dict[int, Tensor] = {}
        self._n_samples, self._went_elsewhere = 0, False

    def _look(self, module: nn.Module, inputs: Any, output: Any) -> None:
        outputs = [t for t in tree_leaves(output) if isinstance(t, Tensor) and t.requires_grad]
        if not outputs or module is not self.module:
            return  # without gradients there is nothing to keep
        sizes = {t.shape[self.sample_axis] if t.ndim > self.sample_axis else 0 for t in outputs}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(
                f"record needs outputs whose axis {self.sample_axis} are the samples. Got shapes "
                f"{[tuple(t.shape) for t in outputs]}. Pass 'sample_axis', and let the module "
                "return outputs of each sample, not a loss."
            )
        self._n_samples = sizes.pop()
        self._parameters = {
            name: p
            for name, p in module.named_parameters()
            if p.requires_grad and name not in self.skip
        }
        probes = Probes(outputs, self._parameters, self._n_samples, self.sample_axis)
        found = find_uses(outputs, self._parameters)
        key = (self._n_samples, *map(signature, found.uses), *found.others, *found.kinds)
        settled = self._settled.get(key)
        n_calls = 1 if settled is None else settled.n_calls + 1
        if settled is not None:
            found = self._passed(outputs, found, settled.shared)
            settled = None if self._is_due(settled, n_calls, probes, found) else settled
        if settled is None:
            found = find_uses(outputs, self._parameters)
            shared = probes.shared_by_all(found.uses)
            found = self._passed(outputs, found, shared)
            settled = _Settled(shared, *probes.ask(found.uses, found.others))
        settled.n_calls = n_calls
        self._settled[key] = settled
        self._uses, self._known = found.uses, settled.layouts
        deltas = self._deltas
        for i, use in enumerate(found.uses):
            use.node.register_prehook(partial(self._keep, deltas, i))

    def _passed(self, outputs: list[Tensor], found: Uses, shared: frozenset[int]) -> Uses:
        """Walk again, if some uses make what is the same for all samples."""
        self._shared = {found.uses[i].node for i in shared}
        return find_uses(outputs, self._parameters, self._shared) if shared else found

    def _is_due(self, settled: _Settled, n_calls: int, probes: Probes, found: Uses) -> bool:
        """Tell whether to ask again: where samples lie may be a matter of numbers."""
        if found.by_values or n_calls in _ASKED_AGAIN:
            return True
        return probes.arrives([found.uses[i] for i in settled.unsure])

    def _keep(
        self, deltas: dict[int, Tensor], number: int, gradients: tuple[Tensor | None, ...]
    ) -> None:
        """Keep the gradient that arrives at a node."""
        if deltas is not self._deltas or number in deltas:  # of an earlier call, or again
            self._went_elsewhere = True
        elif gradients[0] is not None:
            deltas[number] = gradients[0].detach()

    def _check_loss(self, loss: Tensor) -> None:
        """Refuse a loss that uses parameters elsewhere than in the last call."""
        found = find_uses([loss], self._parameters, self._shared)
        known = {use.node for use in self._uses}
        elsewhere = {t.name for use in found.uses if use.node not in known for t, _ in use.targets}
        elsewhere |= set(found.others)
        if elsewhere:
            raise RuntimeError(
                "The loss depends on parameters elsewhere than in the last call of the module: "
                f"{', '.join(sorted(elsewhere))}. Call the module once, on all samples, and make "
                "the loss of its outputs alone."
            )
        if not any(use.node in known for use in found.uses):
            raise RuntimeError("The loss does not depend on the last call of the module.")


@dataclass
class _Settled:
    """What is known of a graph.

    Attributes
    ----------
    shared : frozenset of int
        Uses that make something which is the same for all samples.
    layouts : list of SampleLayout or None
        Of the uses behind these.
    unsure : list of int
        Uses of which no gradient has told enough: it was zero.
    n_calls : int
        With such a graph.
    """

    shared: frozenset[int]
    layouts: list[SampleLayout | None]
    unsure: list[int]
    n_calls: int = 0
