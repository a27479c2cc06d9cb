"""What nodes of the graph of autograd do with parameters: :func:`understood`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from skmeta.gradients.modules.layouts import SampleLayout
from skmeta.gradients.modules.terms import (
    SIZES,
    Convolved,
    Direct,
    Lookup,
    Outer,
    Passed,
    Target,
    Term,
)

Node = Any
Make = Callable[[Tensor, SampleLayout], Term]


@dataclass
class Use:
    """A node of the graph that brings parameters and data together.

    Attributes
    ----------
    node : torch.autograd.graph.Node
        Its gradient at the output is what is waited for.
    n_leading : int or None
        How many first axes of that gradient are no features; None if any may be.
    targets : list of (Target, callable)
        What is made of that gradient, for each parameter.
    """

    node: Node
    n_leading: int | None
    targets: list[tuple[Target, Make]] = field(default_factory=list)


@dataclass(frozen=True)
class Keep:
    """Takes a saved tensor out of the graph; a copy if it is a parameter, or a view of one.

    Attributes
    ----------
    parameters : set of int
        Where the numbers of parameters are.
    """

    parameters: set[int]

    def __call__(self, saved: Tensor) -> Tensor:
        """Return the numbers as they are now."""
        tensor = saved.detach()
        own = tensor.untyped_storage().data_ptr() in self.parameters
        return tensor.clone() if own else tensor


def understood(node: Node, kind: str, targets: Mapping[int, Target], keep: Keep) -> Use | None:
    """Return what a node does with the parameters among its inputs; None if that is not known.

    Parameters
    ----------
    node : torch.autograd.graph.Node
        Of a graph.
    kind : str
        Its name.
    targets : mapping of int to Target
        Parameters by the number of the input.
    keep : Keep
        For what the node has saved.
    """
    make = _KINDS.get(kind.rstrip("0123456789"))  # a version of the operation
    if make is None or any(target.size < 0 for target in targets.values()):
        return None
    if make not in _OF_ANY_SHAPE and any(target.path for target in targets.values()):
        return None
    return make(node, dict(targets), keep)


def _matrix(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    """``beta * bias + alpha * h @ W``, of rows."""
    adds = type(node).__name__.startswith("Addmm")
    bias, first, weight = (0, 1, 2) if adds else (None, 0, 1)
    alpha, beta = (node._saved_alpha, node._saved_beta) if adds else (1, 1)
    use = Use(node, 1)
    if weight in targets and first not in targets:
        h = keep(node._saved_mat1 if adds else node._saved_self)

        def outer(target: Target) -> Make:
            def make(delta: Tensor, layout: SampleLayout) -> Term:
                x, g = (_rows(layout.arranged(t)) for t in (h, delta))
                return Outer(target, x, g if alpha == 1 else alpha * g)

            return make

        use.targets.append((targets[weight], outer(targets[weight])))
    if bias is not None and bias in targets and len(targets[bias].shape) == 1:
        use.targets.append((targets[bias], _summed(targets[bias], 1, beta)))
    return use


def _rows(x: Tensor) -> Tensor:
    """Rows of a sample as positions, ``(n_samples, n_positions, width)``."""
    return x[:, None] if x.ndim == 2 else x


def _summed(target: Target, n_features: int, factor: float = 1) -> Make:
    """What is added to the last axes: the gradient, summed over positions."""

    def make(delta: Tensor, layout: SampleLayout) -> Term:
        g = layout.arranged(delta)
        if axes := tuple(range(1, g.ndim - n_features)):
            g = g.sum(axes)
        return Direct(target, g if factor == 1 else factor * g)

    return make


def _convolution(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    use = Use(node, 1)
    if node._saved_transposed or any(node._saved_output_padding):
        return None
    options = {name: list(getattr(node, f"_saved_{name}")) for name in SIZES}
    options["groups"] = node._saved_groups
    if 1 in targets and targets[1].whole and 0 not in targets:
        x = keep(node._saved_input)

        def convolved(delta: Tensor, layout: SampleLayout) -> Term:
            images, g = (_images(layout.arranged(t), t.ndim) for t in (x, delta))
            return Convolved(targets[1], images, g, options)

        use.targets.append((targets[1], convolved))
    if 2 in targets:

        def bias(delta: Tensor, layout: SampleLayout) -> Term:
            g = _images(layout.arranged(delta), delta.ndim)
            return Direct(targets[2], g.flatten(3).sum((1, 3)))

        use.targets.append((targets[2], bias))
    return use


def _images(x: Tensor, ndim: int) -> Tensor:
    return x[:, None] if x.ndim == ndim else x


def _layer_norm(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    n_features = len(node._saved_normalized_shape)
    x, mean, rstd = keep(node._saved_input), node._saved_result1, node._saved_result2
    use = Use(node, x.ndim - n_features)
    if 1 in targets:
        of_shift = _summed(targets[1], n_features)

        def scale(delta: Tensor, layout: SampleLayout) -> Term:
            return of_shift(delta * (x - mean) * rstd, layout)

        use.targets.append((targets[1], scale))
    if 2 in targets:
        use.targets.append((targets[2], _summed(targets[2], n_features)))
    return use


def _batch_norm(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    if node._saved_training or node._saved_running_var is None:
        return None  # samples are mixed: none has a gradient of its own
    x, eps = keep(node._saved_input), node._saved_eps
    mean, var = node._saved_running_mean.clone(), node._saved_running_var.clone()

    def normal() -> Tensor:
        shape = [1, -1] + [1] * (x.ndim - 2)
        return (x - mean.view(shape)) * (var + eps).rsqrt().view(shape)

    return _channels(node, targets, normal)


def _group_norm(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    x, n_groups = keep(node._saved_input), node._saved_group
    mean, rstd = node._saved_result1, node._saved_result2

    def normal() -> Tensor:
        groups = x.reshape(len(x), n_groups, -1)
        groups = (groups - mean.view(len(x), -1, 1)) * rstd.view(len(x), -1, 1)
        return groups.reshape(x.shape)

    return _channels(node, targets, normal)


def _channels(node: Node, targets: dict[int, Target], normal: Callable[[], Tensor]) -> Use:
    """Scale and shift of channels, which are the second axis."""
    use = Use(node, 1)
    for place, factor in ((1, normal), (2, None)):
        if place in targets:
            use.targets.append((targets[place], _of_channels(targets[place], factor)))
    return use


def _of_channels(target: Target, factor: Callable[[], Tensor] | None) -> Make:
    def make(delta: Tensor, layout: SampleLayout) -> Term:
        product = delta if factor is None else delta * factor()
        g = _images(layout.arranged(product), delta.ndim)
        return Direct(target, g.flatten(3).sum((1, 3)) if g.ndim > 3 else g.sum(1))

    return make


def _embedding(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    if node._saved_scale_grad_by_freq or not targets[0].whole or targets[0].transposed:
        return None
    index, padding = node._saved_indices, node._saved_padding_idx

    def lookup(delta: Tensor, layout: SampleLayout) -> Term:
        rows, g = layout.arranged(index), layout.arranged(delta)
        rows, g = rows.reshape(len(rows), -1), g.reshape(len(g), -1, g.shape[-1])
        kept = (rows != padding)[..., None] if 0 <= padding < targets[0].size else None
        return Lookup(targets[0], rows, g if kept is None else g * kept)

    return Use(node, index.ndim, [(targets[0], lookup)])


def _elementwise(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    """A sum, difference, product or quotient with a parameter that broadcasts, or a copy of it."""
    name = type(node).__name__
    if len(targets) > 1:
        return None
    [(place, target)] = targets.items()
    factor: Any = 1
    if name.startswith(("Mul", "Div")):
        saved = node._saved_self, node._saved_other
        if saved[1 - place] is None:
            return None
        if name.startswith("Mul"):
            factor = keep(saved[1 - place])
        else:
            over = saved[1].detach().reciprocal()
            factor = over if place == 0 else -saved[0].detach() * over.square()
    elif place == 1:
        factor = node._saved_alpha * (-1 if name.startswith("Sub") else 1)
    return _broadcasting(node, target, factor)


def _prelu(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    if list(targets) != [1]:
        return None
    return _broadcasting(node, targets[1], node._saved_self.detach().clamp_max(0))


def _repeat(node: Node, targets: dict[int, Target], keep: Keep) -> Use | None:
    """A parameter for each sample: along an axis of its own, or end to end."""
    [target] = targets.values()
    repeats = tuple(node._saved_repeats)
    sizes = (1,) * (len(repeats) - len(_seen(target))) + _seen(target)
    if len(repeats) > 1:
        along = all(1 in pair for pair in zip(repeats, sizes, strict=True))
        return _broadcasting(node, target, 1) if along else None

    def make(delta: Tensor, layout: SampleLayout) -> Term:
        if layout.kind == "minor":
            raise SharedBySamplesError
        g = layout.arranged(delta)
        return _of_used(target, g.reshape(len(g), -1, *_seen(target)).sum(1))

    return Use(node, 1, [(target, make)])


def _seen(target: Target) -> tuple[int, ...]:
    """Shape of what was used."""
    if target.seen is not None:
        return target.seen
    rows = (target.size, *target.shape[1:]) if target.shape else ()
    return rows[::-1] if target.transposed else rows


def _of_used(target: Target, gradient: Tensor) -> Term:
    """Gradients ``(n_samples, *shape)`` of what was used, brought to the parameter."""
    gradient = gradient.mT if target.transposed else gradient
    return Passed(target, gradient) if target.path else Direct(target, gradient)


def _broadcasting(node: Node, target: Target, factor: Any) -> Use:
    """Sum a gradient to the shape of what was broadcast, but for the axis of the samples."""
    shape = _seen(target)

    def make(delta: Tensor, layout: SampleLayout) -> Term:
        product = delta * factor
        full = (1,) * (product.ndim - len(shape)) + shape
        g = layout.arranged(product)
        moved = layout.arranged(product.new_empty(full).expand(product.shape))
        if layout.kind != "axis":
            full = (full[0], full[0], *full[1:])
        else:
            full = (full[layout.axis], *(s for i, s in enumerate(full) if i != layout.axis))
        if full[0] != 1 or (layout.kind != "axis" and full[1] != 1):
            raise SharedBySamplesError
        axes = [i for i in range(1, moved.ndim) if full[i] == 1 and g.shape[i] != 1]
        g = g.sum(axes) if axes else g
        return _of_used(target, g.reshape(len(g), *shape))

    return Use(node, None, [(target, make)])


class SharedBySamplesError(Exception):
    """A parameter has an axis of samples."""


_KINDS: dict[str, Callable[[Node, dict[int, Target], Keep], Use | None]] = {
    "AddmmBackward": _matrix,
    "MmBackward": _matrix,
    "ConvolutionBackward": _convolution,
    "NativeLayerNormBackward": _layer_norm,
    "NativeBatchNormBackward": _batch_norm,
    "CudnnBatchNormBackward": _batch_norm,
    "NativeGroupNormBackward": _group_norm,
    "EmbeddingBackward": _embedding,
    "AddBackward": _elementwise,
    "SubBackward": _elementwise,
    "MulBackward": _elementwise,
    "DivBackward": _elementwise,
    "ExpandBackward": _elementwise,
    "RepeatBackward": _repeat,
    "PreluKernelBackward": _prelu,
}

SHAREABLE = ("Embedding", "Expand", "Repeat")
"""How the names of nodes begin whose rows may be those of samples, or the same for all of them."""

_OF_ANY_SHAPE = (_elementwise, _repeat, _prelu)
"""What takes a parameter as it is used, whatever was done to its shape before."""
