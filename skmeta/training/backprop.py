"""Forward and backward pass of a stack in training, by hand: :class:`Backprop`.

Small networks spend more time around their matrix products than in them. Without autograd,
gradients are written where the update rule reads them, gradients of skip connections add up
in place, and runs of equal networks are normalised and activated in their own rows: nothing
is cut apart and put together again. What it does not support runs on autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skmeta.networks.convolution import as_positions
from skmeta.population import Parameters, Stack
from skmeta.population.runs import runs_of

_aten = torch.ops.aten


@dataclass(frozen=True)
class _Activation:
    """Kernels that write into given memory; ``backward`` reads the output or the input."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Any]
    reads_output: bool = True


_ACTIVATIONS = {
    "identity": _Activation(lambda z: z, lambda g, _, out: out.copy_(g)),
    "relu": _Activation(
        torch.relu_,
        lambda g, h, out: _aten.threshold_backward(g, h, 0.0, grad_input=out),
    ),
    "leaky_relu": _Activation(
        torch.nn.functional.leaky_relu_,
        lambda g, h, out: _aten.leaky_relu_backward(g, h, 0.01, True, grad_input=out),
    ),
    "tanh": _Activation(
        torch.tanh_,
        lambda g, h, out: _aten.tanh_backward(g, h, grad_input=out),
    ),
    "sigmoid": _Activation(
        torch.sigmoid_,
        lambda g, h, out: _aten.sigmoid_backward(g, h, grad_input=out),
    ),
    "gelu": _Activation(
        _aten.gelu_,
        lambda g, z, out: _aten.gelu_backward(g, z, grad_input=out),
        reads_output=False,
    ),
}
_NOT_ZERO_AT_ZERO = ("sigmoid",)


class LayerPlan:
    """Which networks of a layer share a normalisation, and which an activation.

    Parameters
    ----------
    stack : Stack
        The networks.
    index : int
        The layer.

    Attributes
    ----------
    supported : bool
        Whether every operation of the layer is known here.
    trivial : bool
        Whether there is nothing to do.
    """

    def __init__(self, stack: Stack, index: int) -> None:
        layers = [a.layers[index] for a in stack.architectures]
        names = {layer.activation for layer in layers}
        self.supported = names <= set(_ACTIVATIONS) and not any(
            layer.norm_after or (layer.skip_before and layer.skips) for layer in layers
        )
        norms = runs_of([(x.norm, x.eps if x.norm != "none" else 0.0) for x in layers])
        activations = runs_of([(layer.activation,) for layer in layers])
        self.norms = [(slice(start, stop), *key) for start, stop, key in norms if key[0] != "none"]
        self.trivial = not self.norms and names == {"identity"}
        self.sizes = [stop - start for start, stop, _ in activations]
        self.activations = [
            _ACTIVATIONS[name] for _, _, (name,) in activations if name in _ACTIVATIONS
        ]
        self.mask = mask = stack.state_mask(index + 1)
        # Padded neurons that the activation lifts from zero, and the masks that take them back.
        self.refill = [
            (slice(start, stop), mask[start:stop, None])
            for start, stop, (name,) in activations
            if name in _NOT_ZERO_AT_ZERO and mask is not None
        ]
        self.skips = stack.skips(index, before=False)

    def _count(self, rows: slice, part: Tensor) -> int | Tensor:
        """Return the number of true neurons."""
        return part.shape[2] if self.mask is None else self.mask[rows, None].sum(2, keepdim=True)

    def normalise(self, z: Tensor, scale: Tensor, shift: Tensor) -> list[tuple[Tensor, ...]]:
        """Normalise in place.

        Returns the normalised values before scale and shift, the inverse standard
        deviations, the means and the variances of each run.
        """
        saved: list[tuple[Tensor, ...]] = []
        for rows, norm, eps in self.norms:
            part, dim = z[rows], 1 if norm == "batch" else 2
            count = part.shape[1] if dim == 1 else self._count(rows, part)
            mean = part.sum(dim, keepdim=True).div_(count)
            normal = part - mean
            if dim == 2 and self.mask is not None:
                normal.mul_(self.mask[rows, None])
            var = normal.square().sum(dim, keepdim=True).div_(count)
            inverse = torch.rsqrt(var + eps)
            torch.addcmul(shift[rows, None], normal.mul_(inverse), scale[rows, None], out=part)
            saved.append((normal, inverse, mean, var))
        return saved

    def activate(self, z: Tensor) -> list[Tensor]:
        """Activate in place; return the inputs of runs whose derivative needs them."""
        inputs = []
        for activation, part in zip(self.activations, z.split(self.sizes), strict=True):
            if not activation.reads_output:
                inputs.append(part.clone())
            activation.forward(part)
        for rows, mask in self.refill:
            z[rows].mul_(mask)
        return inputs

    def activate_backward(self, g: Tensor, h: Tensor, inputs: list[Tensor]) -> None:
        """Turn the gradient of the activated values into that of their inputs, in place."""
        before = iter(inputs)
        for activation, part, after in zip(
            self.activations, g.split(self.sizes), h.split(self.sizes), strict=True
        ):
            activation.backward(part, after if activation.reads_output else next(before), part)

    def normalise_backward(
        self, g: Tensor, scale: Tensor, saved: list[tuple[Tensor, ...]]
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Go back through the normalisation, in place; yield gradients of scale and shift."""
        for (rows, norm, _), (normal, inverse, _, _) in zip(self.norms, saved, strict=True):
            part, gain = g[rows], scale[rows, None]
            dscale, dshift = (part * normal).sum(1, keepdim=True), part.sum(1, keepdim=True)
            yield rows, dscale[:, 0], dshift[:, 0]
            # Take out what lies along the constant and along the normalised values themselves.
            if norm == "batch":
                n_samples = part.shape[1]
                part.sub_(dshift.div_(n_samples)).addcmul_(normal, dscale.div_(-n_samples))
                part.mul_(gain * inverse)
            else:
                part.mul_(gain)
                count = self._count(rows, part)
                constant = part.sum(2, keepdim=True).div_(count)
                along = (part * normal).sum(2, keepdim=True).div_(-count)
                part.sub_(constant).addcmul_(normal, along).mul_(inverse)


@dataclass
class _Trace:
    """What the backward pass of a layer needs."""

    incoming: Tensor
    activated: Tensor
    inputs: list[Tensor]
    normal: list[tuple[Tensor, ...]]
    mask: Tensor | None


class Backprop:
    """Runs a stack in training mode and writes the gradients of its parameters.

    Padded neurons stay zero, their gradients need not: the weights behind them are zero, and
    whoever reads the gradients must drop those of entries that are no parameters.

    Parameters
    ----------
    stack : Stack
        The networks.
    params, gradients : Parameters
        Where the weights are, and where their gradients go.
    dropout : callable
        ``dropout(state, h)`` returns the factors of a hidden state, or None.
    """

    def __init__(
        self,
        stack: Stack,
        params: Parameters,
        gradients: Parameters,
        dropout: Callable[[int, Tensor], Tensor | None],
    ) -> None:
        self.params, self.gradients, self.dropout = params, gradients, dropout
        self.channels = stack.widths[0]
        self.convolutions = [stack.convolution(index) for index in range(stack.depth)]
        self.plans = [LayerPlan(stack, index) for index in range(stack.depth)]
        self.states: list[Tensor] = []
        self.traces: list[_Trace] = []

    @property
    def supported(self) -> bool:
        """Whether all operations of the stack are known here."""
        return all(plan.supported for plan in self.plans)

    def forward(self, X: Tensor) -> Tensor:
        """Map rows ``(n, n_samples, n_inputs)`` to outputs ``(n, n_samples, n_outputs)``."""
        first = X if self.convolutions[0] is None else as_positions(X, self.channels)
        self.states, self.traces = [first], []
        for index, (plan, convolution) in enumerate(
            zip(self.plans, self.convolutions, strict=True)
        ):
            weight, bias, scale, shift = (field[index] for field in self.params)
            incoming = self.states[-1]
            if convolution is not None:
                incoming, weight = convolution.patches(incoming), convolution.matrix(weight)
            z = torch.baddbmm(bias[:, None], incoming, weight.transpose(1, 2))
            normal = plan.normalise(z, scale, shift)
            inputs = [] if plan.trivial else plan.activate(z)
            h = z.clone() if plan.skips else z
            for source, rows in plan.skips:
                _add(h, self.states[source], rows)
            mask = self.dropout(index + 1, h)
            self.traces.append(_Trace(incoming, z, inputs, normal, mask))
            if mask is not None:
                h = h.mul_(mask) if plan.skips else h * mask
            self.states.append(h if convolution is None else convolution.pool(h))
        return self.states[-1]

    def backward(self, gradient: Tensor) -> None:
        """Write the gradients, given that of the outputs."""
        arrived: list[Tensor | None] = [None] * len(self.states)
        arrived[-1] = gradient if self.plans[-1].trivial else gradient.clone()
        for index in reversed(range(len(self.plans))):
            plan, trace, g = self.plans[index], self.traces[index], arrived[index + 1]
            assert g is not None
            if (convolution := self.convolutions[index]) is not None:
                g = convolution.pool_backward(g)
            if trace.mask is not None:
                g.mul_(trace.mask)
            for source, rows in plan.skips:
                if source:  # nobody asks for the gradient of the data
                    _add(_zeros_if_missing(arrived, source, self.states[source]), g, rows)
            if not plan.trivial:
                plan.activate_backward(g, trace.activated, trace.inputs)
            for part, dscale, dshift in plan.normalise_backward(
                g, self.params.scale[index], trace.normal
            ):
                self.gradients.scale[index][part] = dscale
                self.gradients.shift[index][part] = dshift
            self._linear_backward(index, g, arrived)

    def _linear_backward(self, index: int, g: Tensor, arrived: list[Tensor | None]) -> None:
        h, weight = self.traces[index].incoming, self.params.weight[index]
        convolution = self.convolutions[index]
        torch.sum(g, 1, out=self.gradients.bias[index])
        if g.shape[2] > h.shape[2]:
            # With few inputs the transposed product is up to six times faster.
            product = torch.bmm(h.transpose(1, 2), g).transpose(1, 2)
        else:
            product = torch.bmm(g.transpose(1, 2), h)
        if convolution is not None:
            product = convolution.filters(product)
        # Faster than a product that writes into a slice.
        self.gradients.weight[index].copy_(product)
        if index and convolution is not None:
            arrived[index] = convolution.patches_backward(g, weight)
        elif index and (before := arrived[index]) is not None:
            before.baddbmm_(g, weight)
        elif index:
            arrived[index] = torch.bmm(g, weight)

    def batch_statistics(self) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
        """Yield layer, networks, mean and variance of the last pass."""
        for index, (plan, trace) in enumerate(zip(self.plans, self.traces, strict=True)):
            for (rows, norm, _), (_, _, mean, var) in zip(plan.norms, trace.normal, strict=True):
                if norm == "batch":
                    yield index, rows, mean, var


def _zeros_if_missing(gradients: list[Tensor | None], index: int, like: Tensor) -> Tensor:
    present = gradients[index]
    if present is None:
        present = gradients[index] = torch.zeros_like(like)
    return present


def _add(to: Tensor, values: Tensor, rows: Tensor | None) -> None:
    """Add a skip connection of some networks, or of all; the narrower state decides."""
    width = min(to.shape[2], values.shape[2])
    to, values = to[..., :width], values[..., :width]
    if rows is None:
        to.add_(values)
    else:
        to.index_add_(0, rows, values.index_select(0, rows))
