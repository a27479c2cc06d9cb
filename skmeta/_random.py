"""Random numbers for code that asks torch's global generator: :func:`local_draws`.

Nothing here imports from skmeta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@contextmanager
def local_draws(seed: int) -> Iterator[None]:
    """Let what torch draws in a block come from a generator of its own.

    Layers of ``torch.nn``, dropout and data loaders know the global generator only. To seed that
    one and to put it back moves the draws of other threads; here it is neither read nor moved.
    Draws on the meta device need no numbers.

    Parameters
    ----------
    seed : int
        The block draws what it would draw behind ``torch.manual_seed(seed)``.

    Examples
    --------
    >>> import torch
    >>> from skmeta._random import local_draws
    >>> state = torch.get_rng_state()
    >>> with local_draws(0):
    ...     layer = torch.nn.Linear(3, 2)
    >>> bool((torch.get_rng_state() == state).all())
    True
    """
    with _LocalDraws(seed):
        yield


class _LocalDraws(TorchDispatchMode):
    """Sees every operation of its thread, and gives those that draw a generator."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **options)
        device = _device_of(args, options)
        if device.type == "meta" or options.get("generator") is not None:
            return func(*args, **options)
        generator = self._generator(device)
        if func is torch.ops.aten.native_dropout.default:
            return _dropout(*args, **options, generator=generator)
        drawing = _with_generator(func)
        if drawing is not None:
            return drawing(*args, **options, generator=generator)
        with self:
            parts = func.decompose(*args, **options)
        if parts is NotImplemented:
            raise NotImplementedError(
                f"skmeta draws random numbers from generators of its own, and {func} takes none. "
                "Use a network without this operation."
            )
        return parts

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self.generators:
            self.generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self.generators[device]


def _device_of(args: tuple, options: Mapping[str, Any]) -> torch.device:
    """Return where an operation puts its result."""
    given = options.get("device")
    if given is None:
        given = next((x.device for x in args if isinstance(x, Tensor)), "cpu")
    return torch.device(given)


def _with_generator(func: Any) -> Any:
    """Return the operation, or its overload, that takes a generator; None if there is none."""
    wanted = _argument_names(func) | {"generator"}
    overloads = [getattr(func.overloadpacket, name) for name in func.overloadpacket.overloads()]
    return next((o for o in (func, *overloads) if _argument_names(o) == wanted), None)


def _argument_names(func: Any) -> set[str]:
    return {argument.name for argument in func._schema.arguments}


def _dropout(
    x: Tensor, p: float, train: bool | None, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Drop elements as the fused operation of accelerators does, which takes no generator."""
    if train is False:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    kept = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p, generator=generator)
    return x * kept / (1 - p if p < 1 else 1.0), kept
