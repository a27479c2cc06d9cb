"""Where the graph of autograd uses parameters: :func:`find_uses`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from skmeta.gradients.modules.kinds import Keep, Node, Use, understood
from skmeta.gradients.modules.terms import Target


@dataclass
class Uses:
    """All that a graph does with parameters.

    Attributes
    ----------
    uses : list of Use
        What is understood.
    others : dict of str to list of str
        Names of parameters that other nodes use, and of these.
    kinds : list
        Of all nodes, in the order of the walk: what says that a graph is like another one.
    by_values : bool
        Whether numbers decide where samples go, as they do where rows are picked or sorted.
    """

    uses: list[Use] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)
    kinds: list = field(default_factory=list)
    by_values: bool = False


def find_uses(
    outputs: Sequence[Tensor],
    parameters: Mapping[str, nn.Parameter],
    shared: Collection[Node] = (),
) -> Uses:
    """Walk the graph behind outputs, and find what it does with parameters.

    Parameters
    ----------
    outputs : sequence of Tensor
        What the module returned.
    parameters : mapping of str to Parameter
        Those that count.
    shared : collection of Node
        Lookups and copies that are the same for all samples: what counts is where these are used.
    """
    names = {id(p): name for name, p in parameters.items()}
    # What is saved of a parameter itself changes with the next step of an optimizer.
    keep = Keep({p.untyped_storage().data_ptr() for p in parameters.values()})
    found, seen = Uses(), set()
    ahead: list[Node] = [t.grad_fn for t in outputs if t.grad_fn is not None]
    unseen = set(parameters)
    foreign: list[str] = []
    while ahead:
        node = ahead.pop()
        if node in seen:
            continue
        seen.add(node)
        targets: dict[int, Target] = {}
        kind = type(node).__name__
        found.kinds.append(kind)
        if "BatchNorm" in kind:
            found.kinds.append(getattr(node, "_saved_training", None))
        if kind.startswith(_WITH_AXES):
            found.kinds += [getattr(node, name, None) for name in _AXES]
        found.by_values |= kind.startswith(_BY_VALUES)
        looked_through = kind in _CHAIN or node in shared  # from where it is used
        for place, edge in enumerate(node.next_functions):
            child = edge[0]
            if child is None:
                continue
            of_child = type(child).__name__
            if of_child != "AccumulateGrad":
                ahead.append(child)
            if looked_through:
                continue
            if of_child not in _PARAMETERS and child not in shared:
                continue
            if (target := _resolved(edge, names, shared)) is not None:
                targets[place] = target
                unseen.discard(target.name)
        if targets:
            _sort(found, node, kind, targets, keep)
        elif isinstance(node, torch.autograd.function.BackwardCFunction):
            foreign.append(kind)
    if foreign:  # as checkpoints do, they may go back through a graph of their own
        found.others.update({name: foreign for name in sorted(unseen)})
    return found


def _sort(found: Uses, node: Node, kind: str, targets: dict[int, Target], keep: Keep) -> None:
    """Put what a node does with parameters where it belongs."""
    use = understood(node, kind, targets, keep)
    known = set() if use is None else {target for target, _ in use.targets}
    if use is not None and known:
        found.uses.append(use)
    for target in targets.values():
        if target not in known:
            found.others.setdefault(target.name, []).append(kind)


_WITH_AXES = tuple("Cat Permute Select Slice Split Squeeze Stack Transpose Unsqueeze".split())
_AXES = ("_saved_dim", "_saved_dims", "_saved_dim0", "_saved_dim1")
_BY_VALUES = ("Gather", "Index", "Masked", "Scatter", "Sort", "Take", "Topk", "Unique")

_LINEAR = frozenset(
    {
        "AliasBackward0",
        "FlipBackward0",
        "NegBackward0",
        "PermuteBackward0",
        "ReshapeAliasBackward0",
        "SelectBackward0",
        "SliceBackward0",
        "SqueezeBackward0",
        "SqueezeBackward1",
        "TransposeBackward0",
        "UnsafeViewBackward0",
        "UnsqueezeBackward0",
        "ViewBackward0",
    }
)
"""Linear, without tensors kept: they can be asked for gradients after a backward pass."""

_CHAIN = _LINEAR | {
    "ToCopyBackward0",
    "TBackward0",
    "SplitWithSizesBackward0",
    "SplitBackward0",
}

_PARAMETERS = _CHAIN | {"AccumulateGrad"}


def _resolved(
    edge: tuple[Node, int], names: dict[int, str], shared: Collection[Node]
) -> Target | None:
    """Return the parameter behind an edge, if there is nothing but its shape in between."""
    node, number = edge
    if node is None:
        return None
    kind = type(node).__name__
    if kind == "AccumulateGrad":
        name, shape = names.get(id(node.variable)), tuple(node.variable.shape)
        return None if name is None else Target(name, shape, 0, shape[0] if shape else 1, False)
    if kind not in _CHAIN and node not in shared:
        return None
    target = _resolved(node.next_functions[0], names, shared)
    if target is None or kind == "ToCopyBackward0":
        return target
    plain = not target.path
    if plain and (kind == "TBackward0" or (kind == "TransposeBackward0" and _is_matrix(target))):
        still = kind != "TBackward0" and (node._saved_dim0 - node._saved_dim1) % 2 == 0
        return target if still else target._replace(transposed=not target.transposed)
    if "Split" in kind and not target.transposed and target.whole and plain:
        sizes = getattr(node, "_saved_split_sizes", None)
        if sizes is None:
            size = node._saved_split_size
            sizes = [size] * (-(-target.size // size))
            sizes[-1] = target.size - size * (len(sizes) - 1)
        if node._saved_dim in (0, -len(target.shape)):
            return target._replace(start=sum(sizes[:number]), size=sizes[number])
    step = _lookup(node, target) if kind.startswith("Embedding") else node
    if step is None or target.transposed or not target.whole or "Split" in kind:
        return target._replace(size=-1)  # nothing that is understood
    seen = tuple(node._input_metadata[0].shape)
    return target._replace(seen=seen, path=(step, *target.path))


def _is_matrix(target: Target) -> bool:
    return len(target.shape) == 2


def _lookup(node: Node, target: Target) -> Callable[[Tensor], Tensor] | None:
    """Return what takes a gradient of rows to one of the table."""
    if node._saved_scale_grad_by_freq or target.path:
        return None
    rows, padding = node._saved_indices.flatten(), node._saved_padding_idx
    kept = (rows != padding)[:, None] if 0 <= padding < target.size else 1

    def step(gradient: Tensor) -> Tensor:
        found = gradient.reshape(len(rows), -1) * kept
        return found.new_zeros(target.shape).index_add_(0, rows, found)

    return step


def gradients_at(
    uses: Sequence[Use],
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor] | None = None,
    parameters: Sequence[Tensor] = (),
    *,
    keep_graph: bool = False,
) -> list[Tensor | None]:
    """Return gradients at the outputs of uses, and then of parameters; no others are computed.

    Parameters
    ----------
    uses : sequence of Use
        Of the graph behind the outputs.
    outputs : sequence of Tensor
        What is differentiated.
    cotangents : sequence of Tensor, optional
        At the outputs; a loss needs none.
    parameters : sequence of Tensor
        More to differentiate by.
    keep_graph : bool
        Whether somebody else goes back through the graph.
    """
    edges: list[Any] = [torch.autograd.graph.GradientEdge(use.node, 0) for use in uses]
    found = torch.autograd.grad(
        outputs,
        [*edges, *parameters],
        cotangents,
        retain_graph=keep_graph,
        allow_unused=True,
    )
    return list(found)
