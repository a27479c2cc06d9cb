"""Torch's modes as skmeta computes in them, whatever the caller's are: :func:`in_own_modes`.

Nothing here imports from skmeta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch.overrides import TorchFunctionMode

P = ParamSpec("P")
T = TypeVar("T")


def in_own_modes(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function differentiate in ``torch.inference_mode`` and compute in float32.

    The result does not depend on ``torch.set_default_dtype``, which other threads see as well
    and which is therefore left alone.

    Examples
    --------
    >>> import torch
    >>> @in_own_modes
    ... def slope(x):
    ...     x = torch.tensor(x, requires_grad=True)
    ...     return torch.autograd.grad(x * x, x)[0].item()
    >>> with torch.inference_mode():
    ...     slope(1.5)
    3.0
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _own_modes():
            return function(*args, **kwargs)

    return run


@contextmanager
def _own_modes() -> Iterator[None]:
    with torch.inference_mode(False), torch.enable_grad():
        if torch.get_default_dtype() == torch.float32:
            yield
        else:
            with _Float32():
                yield


class _Float32(TorchFunctionMode):
    """Makes tensors float32 where no type is given, in this thread only."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if options.get("dtype") is None:
            if func in _OF_DEFAULT_TYPE:
                options["dtype"] = torch.float32
            elif func in _OF_TYPE_OF_VALUES:
                made = func(*args, **options)
                typed = any(hasattr(value, "dtype") for value in (*args, *options.values()))
                if typed or not made.is_floating_point():
                    return made
                options["dtype"] = torch.float32  # made anew: a converted one would be no leaf
        return func(*args, **options)


_OF_DEFAULT_TYPE = {
    *(torch.empty, torch.zeros, torch.ones, torch.eye, torch.linspace, torch.logspace),
    *(torch.rand, torch.randn),
}
_OF_TYPE_OF_VALUES = {torch.tensor, torch.as_tensor, torch.full, torch.arange}
