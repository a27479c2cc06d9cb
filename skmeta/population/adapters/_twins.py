"""Copies of modules: to look into one, to run one, to edit one, without touching the source."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from skmeta.population.adapters._common import UnsupportedNetworkError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def twin_of(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode that shares the parameters, without hooks.

    Running it changes nothing in the source: neither its mode and its statistics nor what
    its forward keeps on itself.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for tensor in _tensors(vars(part)):
            shared = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = tensor if shared else tensor.detach().clone()
        for name, value in vars(part).items():
            if name.endswith("_hooks"):  # what they are bound to is not to be copied
                memo[id(value)] = OrderedDict()
    try:
        return copy.deepcopy(module, memo).eval()
    except Exception as error:
        raise UnsupportedNetworkError(
            f"it cannot be copied ({type(error).__name__}: {error}). Keep files, locks and the "
            "like outside of it."
        ) from error


def give_hooks(twin: nn.Module, module: nn.Module) -> None:
    """Make a twin run the forward hooks of its module."""
    for part, source in zip(twin.modules(), module.modules(), strict=True):
        for name in _HOOKS:
            if part is not source and (hooks := getattr(source, name)):
                setattr(part, name, OrderedDict(hooks))


def copied(network: Any) -> Any:
    """Return a deep copy of a module or a net; of activations that it keeps, the numbers.

    Its attributes are copied, not what pickle makes of it: a class may be local.
    """
    memo: dict[int, Any] = {}
    modules = [network, *(v for v in vars(network).values() if isinstance(v, nn.Module))]
    parts = [p for m in modules for p in (m.modules() if isinstance(m, nn.Module) else [m])]
    for part in parts:
        for tensor in _tensors(vars(part)):
            if not tensor.is_leaf:  # torch copies only what has no history
                memo[id(tensor)] = tensor.detach().clone()
    twin = object.__new__(type(network))
    memo[id(network)] = twin
    vars(twin).update(copy.deepcopy(vars(network), memo))
    return twin


def _tensors(value: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Yield the tensors in nested containers."""
    seen = set() if seen is None else seen
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple | set) and id(value) not in seen:
        seen.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item, seen)
