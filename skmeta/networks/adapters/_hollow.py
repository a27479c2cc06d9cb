"""Copies of modules and skorch nets without their tensors, and filled again.

Both are deep copies in which one thing stands for another: a hole for each tensor, then a
tensor for each hole. Whatever else refers to a parameter, as an optimizer does, refers to
its hole and then to the new parameter.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

from torch import Tensor, nn

from skmeta._plain import Plain, from_plain, to_plain
from skmeta.networks.adapters._common import UnsupportedNetworkError
from skmeta.networks.adapters.keeping import Skeleton, Weights

Known = dict[Any, Skeleton]
"""Skeletons of a population by what they were made from: networks that are alike share one."""


class Hole:
    """Where a parameter or a buffer was."""

    trainable: bool | None = None
    """Whether a parameter asks for gradients; None of a buffer."""

    @classmethod
    def of(cls, tensor: Tensor) -> Hole:
        """Return a hole for a tensor."""
        hole = cls()
        if isinstance(tensor, nn.Parameter):
            hole.trainable = tensor.requires_grad
        return hole

    def filled(self, value: Tensor) -> Tensor:
        """Return the value as what stood here."""
        return value if self.trainable is None else nn.Parameter(value, self.trainable)


def take_apart(
    host: Any, module: nn.Module, known: Known, make: Callable[[Any, Weights], Skeleton]
) -> tuple[Skeleton, Weights]:
    """Return a network as a skeleton and the tensors of its module.

    Parameters
    ----------
    host, module : nn.Module or skorch net, nn.Module
        The network, and the module that computes it: the same, or one inside the other.
    known : dict
        Skeletons that the population has already; a new one is added.
    make : callable
        Makes a skeleton of a copy of ``host`` with holes, and the tensors.
    """
    tensors = _trained(module)
    holes = {id(tensor): Hole.of(tensor) for tensor in tensors.values()}
    weights = {name: tensor.detach() for name, tensor in tensors.items()}
    text = _pickled(host, holes)
    key = (text or id(host), tuple((n, w.shape, w.dtype, w.device) for n, w in weights.items()))
    if key not in known:
        hollow = _copied_hollow(host, module, holes) if text is None else pickle.loads(text)
        known[key] = make(hollow, weights)
    return known[key], weights


def _trained(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and running statistics; other buffers are part of what it computes."""
    tensors = {}
    for path, part in module.named_modules(remove_duplicate=False):
        running = part._buffers if isinstance(part, nn.modules.batchnorm._NormBase) else {}
        for name, tensor in (*part._parameters.items(), *running.items()):
            if tensor is not None:
                tensors[f"{path}.{name}" if path else name] = tensor
    return tensors


class Constant:
    """A tensor that is part of what a network computes; copied, it is that tensor again."""

    def __init__(self, plain: Plain) -> None:
        self.plain = plain

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        memo[id(self)] = tensor = from_plain(self.plain)
        return tensor


class _HollowPickler(pickle.Pickler):
    """Pickles a module with holes for its tensors: copies and compares it in one go."""

    def __init__(self, file: io.BytesIO, holes: dict[int, Hole]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.holes = holes

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, MethodType):  # by name it would be what its class has there
            return MethodType, (value.__func__, value.__self__)
        if not isinstance(value, Tensor):
            return NotImplemented
        if id(value) in self.holes:
            return Hole, (), {"trainable": self.holes[id(value)].trainable}
        return Constant, (to_plain(value),)


def _pickled(host: Any, holes: dict[int, Hole]) -> bytes | None:
    """Return a module without its tensors as bytes; None if it has to be copied.

    Modules whose bytes and shapes are equal compute the same if their weights are equal.
    """
    file = io.BytesIO()
    try:
        if isinstance(host, nn.Module):  # a skorch net writes its tensors to bytes itself
            _HollowPickler(file, holes).dump(host)
    except Exception:  # a class inside a function, a lambda
        return None
    return file.getvalue() or None


def _copied_hollow(host: Any, module: nn.Module, holes: dict[int, Hole]) -> Any:
    memo: dict[int, Any] = dict(holes)
    try:
        for tensor in _tensors([vars(part) for part in module.modules()]):
            if id(tensor) not in holes:  # a buffer, or an activation that was kept
                memo[id(tensor)] = Constant(to_plain(tensor))
        return copied(host, memo)
    except Exception as error:
        raise UnsupportedNetworkError(
            f"it cannot be copied ({type(error).__name__}: {error}). Keep files, locks and the "
            "like outside of it."
        ) from error


def _tensors(value: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Yield the tensors in nested containers."""
    seen = set() if seen is None else seen
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple | set) and id(value) not in seen:
        seen.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item, seen)


def fill(hollow: Any, module_of: Callable[[Any], nn.Module], weights: Weights) -> Any:
    """Return a copy of a network with holes, filled with the tensors that are passed."""
    memo = {id(hole): hole.filled(weights[name]) for name, hole in holes_of(module_of(hollow))}
    return copied(hollow, memo)


class Twin:
    """A copy of a network in evaluation mode, to run networks of one skeleton, one by one.

    Nothing that happens in its forward reaches the network that it is a copy of.
    """

    def __init__(self, skeleton: Skeleton, weights: Weights, module_of: Callable) -> None:
        self.host = skeleton.network({name: value.clone() for name, value in weights.items()})
        self.places: dict[str, tuple[dict, str, bool]] = {}
        for path, part in module_of(self.host).eval().named_modules(remove_duplicate=False):
            for hooks in (part._forward_hooks, part._forward_pre_hooks):
                hooks.update({key: _watched(hook) for key, hook in hooks.items()})
            for table, copied in ((part._parameters, False), (part._buffers, True)):
                for name in table:
                    self.places[f"{path}.{name}" if path else name] = table, name, copied

    def given(self, weights: Weights) -> Twin:
        """Return the twin with other weights; what a forward may change is copied."""
        for name, value in weights.items():
            table, key, copied = self.places[name]
            table[key] = value.clone() if copied else value
        return self


def _watched(hook: Callable) -> Callable:
    """Return a hook that is refused if it does more than to look on."""

    def run(*args: Any, **kwargs: Any) -> None:
        tensors = list(_tensors([args, kwargs]))
        versions = [tensor._version for tensor in tensors]
        result = hook(*args, **kwargs)
        changed = versions != [tensor._version for tensor in tensors]
        if changed or (result is not None and not any(result is value for value in args)):
            raise UnsupportedNetworkError(
                "a forward hook of it returns or changes values, which no layer does. Take it away "
                "(handle.remove()); hooks that only look on may stay."
            )

    return run


def is_hooked(module: nn.Module) -> bool:
    """Whether a module or a part of it has forward hooks."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def without_hooks(module: nn.Module) -> nn.Module:
    """Take the forward hooks of a module away, and return it."""
    for part in module.modules():
        part._forward_hooks.clear()
        part._forward_pre_hooks.clear()
    return module


def holes_of(module: nn.Module) -> list[tuple[str, Hole]]:
    """Return the names of tensors, as in ``state_dict``, and what stands for them."""
    found = []
    for path, part in module.named_modules(remove_duplicate=False):
        for name, hole in (*part._parameters.items(), *part._buffers.items()):
            if isinstance(hole, Hole):
                found.append((f"{path}.{name}" if path else name, hole))
    return found


def copied(host: Any, memo: dict[int, Any]) -> Any:
    """Return a deep copy in which ``memo`` stands for the objects of its ids."""
    if isinstance(host, nn.Module):
        return copy.deepcopy(host, memo)
    # skorch's own way of copying writes its tensors to bytes.
    new = memo[id(host)] = object.__new__(type(host))
    vars(new).update({name: copy.deepcopy(value, memo) for name, value in vars(host).items()})
    return new
