"""The elementwise operations that a traced graph may hold, as modules, functions, methods.

:func:`from_module` and :func:`from_call` return a pair ``(kind, what)`` for an operation
that is known and a string, what is wrong with it, for one that is not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from skmeta.networks.activations import ACTIVATIONS
from skmeta.networks.adapters._common import InputScaling
from skmeta.networks.ops import Conv, Pool

_MODULES = {a.module: name for name, a in ACTIVATIONS.items() if a.module is not None}
# In evaluation what a function does in place or not makes no difference here.
_FUNCTIONS = {call: name for name, a in ACTIVATIONS.items() for call in a.functions}
_SOFTMAXES: dict[Any, str] = {
    torch.softmax: "softmax",
    F.softmax: "softmax",
    "softmax": "softmax",
    torch.log_softmax: "log_softmax",
    F.log_softmax: "log_softmax",
    "log_softmax": "log_softmax",
}
_ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
_SCALINGS: dict[str, Callable[[np.ndarray], InputScaling]] = {
    "add": lambda constant: InputScaling(np.ones(()), constant),
    "sub": lambda constant: InputScaling(np.ones(()), -constant),
    "mul": lambda constant: InputScaling(constant, np.zeros(())),
    "div": lambda constant: InputScaling(1.0 / constant, np.zeros(())),
}
_ARITHMETIC = {
    **{call: "add" for call in _ADDITIONS},
    **{call: "sub" for call in (operator.sub, operator.isub, torch.sub, "sub", "sub_")},
    **{call: "mul" for call in (operator.mul, operator.imul, torch.mul, "mul", "mul_")},
    **{call: "div" for call in (operator.truediv, operator.itruediv, torch.div, "div", "div_")},
}
_FIRST_OUTPUT = ((slice(None), 0), (Ellipsis, 0))

Operation = tuple[str, Any] | str


def convolution(module: nn.Conv2d) -> Conv | str:
    """Return a convolution as an operation, or what is wrong with it."""
    padding: Any = module.padding
    if padding == "same" and all(k % 2 for k in module.kernel_size):
        padding = tuple(k // 2 for k in module.kernel_size)
    padding = (0, 0) if padding == "valid" else padding
    if module.groups != 1 or module.dilation != (1, 1) or module.padding_mode != "zeros":
        return "must have groups=1, dilation=1 and padding_mode='zeros'"
    if isinstance(padding, str):
        return "pads an even kernel unevenly; give the padding as numbers"
    kernel: Any = module.kernel_size
    stride: Any = module.stride
    return Conv(module.out_channels, kernel, stride, padding, module.bias is not None)


def is_addition(node: fx.Node) -> bool:
    """Whether a node of a graph is an addition."""
    return node.target in _ADDITIONS


def is_arithmetic(node: fx.Node) -> bool:
    """Whether a node adds, subtracts, multiplies or divides two things."""
    return node.target in _ARITHMETIC and len(node.args) == 2 and not node.kwargs


def scaling(node: fx.Node, place: int, root: nn.Module) -> InputScaling | str:
    """Return how arithmetic scales its operand at ``place``; the other must be a constant."""
    name, constant = _ARITHMETIC[node.target], node.args[1 - place]
    if isinstance(constant, fx.Node) and constant.op == "get_attr":
        constant = operator.attrgetter(str(constant.target))(root)
    if isinstance(constant, nn.Parameter):
        return "scales the inputs by a parameter; register it as a buffer"
    number = isinstance(constant, int | float | Tensor) and not isinstance(constant, bool)
    if not number or (place == 1 and name in ("sub", "div")):
        return "takes something else than the inputs and a constant"
    value = torch.as_tensor(constant).detach().to("cpu", torch.float64)
    if value.ndim > 1 and value.shape[:-1].numel() > 1:
        return f"scales the inputs by a tensor of shape {tuple(value.shape)}"
    with np.errstate(divide="ignore"):  # a factor that is not finite is refused later
        return _SCALINGS[name](value.reshape(value.shape[-1:]).numpy())


def factor(node: fx.Node, place: int) -> float | None:
    """Return the positive number that a node multiplies its operand at ``place`` by, or None."""
    number = node.args[1 - place]
    known = isinstance(number, int | float) and not isinstance(number, bool) and number > 0
    return float(number) if known and _ARITHMETIC[node.target] == "mul" else None  # type: ignore[arg-type]


def size(node: fx.Node, sizes: Mapping[fx.Node, str]) -> str | None:
    """Say whether a node is the "shape" of a value or its number of "rows"."""
    target, args = node.target, node.args
    dim = node.kwargs.get("dim", args[1] if len(args) > 1 else None)
    if (target is getattr and dim == "shape") or (target == "size" and dim is None):
        return "shape"
    of_shape = (
        target is operator.getitem
        and isinstance(args[0], fx.Node)
        and sizes.get(args[0]) == "shape"
    )
    return "rows" if (of_shape or target == "size") and dim == 0 else None


def from_module(module: nn.Module) -> Operation:
    """Read a module without parameters."""
    kind = type(module)
    if kind in _MODULES:
        name = _MODULES[kind]
        return _activation(name, {key: getattr(module, key) for key in ACTIVATIONS[name].options})
    if kind is nn.Dropout:
        return "dropout", module.p
    if kind is nn.Identity:
        return "identity", None
    if kind is nn.Flatten:
        return _flatten(module.start_dim, module.end_dim)
    if kind is nn.Unflatten:
        return _unflatten(module.dim, module.unflattened_size)
    if kind is nn.AdaptiveAvgPool2d:
        return _adaptive_pool(module.output_size)
    if kind is nn.MaxPool2d:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
        return _max_pool(*(getattr(module, name) for name in names))
    if kind in (nn.Softmax, nn.LogSoftmax):
        return _tail("softmax" if kind is nn.Softmax else "log_softmax", module.dim)
    return "is not a supported module"


def from_call(node: fx.Node, sizes: Mapping[fx.Node, str]) -> Operation:
    """Read a call of a function or a method; ``sizes`` has what :func:`size` said."""
    target: Any = node.target
    args, kwargs = node.args[1:], dict(node.kwargs)
    if target in _FUNCTIONS:
        name = _FUNCTIONS[target]
        names = [*ACTIVATIONS[name].options, "inplace"]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        given.pop("inplace", None)
        return _activation(name, given)
    if target in (F.dropout, torch.dropout):
        given = {"p": 0.5, **dict(zip(("p",), args, strict=False)), **kwargs}
        # Written out as training=True it acts in evaluation too.
        training = kwargs.get("training", kwargs.get("train", True))
        if args[1] if len(args) > 1 else training:
            return "drops out in evaluation too; pass training=self.training"
        return "dropout", given["p"]
    if target in _SOFTMAXES:
        return _tail(_SOFTMAXES[target], args[0] if args else kwargs.get("dim"))
    if target in (torch.flatten, "flatten"):
        given = {"start_dim": 0, "end_dim": -1}
        given |= {**dict(zip(given, args, strict=False)), **kwargs}
        return _flatten(given["start_dim"], given["end_dim"])
    if target in (torch.reshape, "reshape", "view"):
        return _reshape(args if args else (kwargs.get("shape"),), sizes)
    if target is operator.getitem and args[0] in _FIRST_OUTPUT:
        return "squeeze", None
    if target in (torch.unflatten, "unflatten"):
        given = {**dict(zip(("dim", "sizes"), args, strict=False)), **kwargs}
        return _unflatten(given.get("dim"), given.get("sizes"))
    if target in (F.max_pool2d, torch.max_pool2d):
        given = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
        given |= dict(zip(("kernel_size", *given), args, strict=False)) | kwargs
        return _max_pool(**given)
    if target is F.adaptive_avg_pool2d:
        return _adaptive_pool(args[0] if args else kwargs.get("output_size"))
    if target in (torch.mean, "mean"):
        given = {"keepdim": False} | dict(zip(("dim", "keepdim"), args, strict=False)) | kwargs
        return _mean(given.get("dim"), given["keepdim"])
    if target in (torch.squeeze, "squeeze"):
        dim = args[0] if args else kwargs.get("dim")
        return ("squeeze", None) if dim in (1, -1) else "must squeeze the last axis, dim=-1"
    return "is not a supported operation"


def _activation(name: str, given: dict[str, Any]) -> Operation:
    options = ACTIVATIONS[name].options
    for key, value in given.items():
        if key not in options or value != options[key]:
            default = options.get(key)
            return f"has {key}={value!r}; only {key}={default!r} is supported"
    return "activation", name


def _flatten(start: Any, end: Any) -> Operation:
    # Behind the first axis rows have one axis, and pooled images two more of size 1.
    return ("flatten", None) if start == 1 and end in (1, 3, -1) else "flattens the samples"


def _reshape(shape: Any, sizes: Mapping[fx.Node, str]) -> Operation:
    shape = tuple(shape[0]) if isinstance(shape[0], tuple | list) else tuple(shape)
    if shape == (-1,):
        return "squeeze", None
    first, rest = shape[0], shape[1:]
    rows = isinstance(first, fx.Node) and sizes.get(first) == "rows"
    known = all(type(n) is int and n > 0 for n in rest)
    if len(rest) == 1 and (rows and rest == (-1,) or (rows or first == -1) and known):
        return "flatten", None if rows else rest[0]
    if len(rest) == 3 and (rows or first == -1) and known:
        return "unflatten", rest
    return "must keep the rows apart, as x.view(x.size(0), -1) does"


def _unflatten(dim: Any, sizes: Any) -> Operation:
    good = dim in (1, -1) and isinstance(sizes, tuple | list) and len(sizes) == 3
    if not good or any(type(size) is not int or size < 1 for size in sizes):
        return "must unflatten axis 1 into (channels, height, width), known sizes all"
    return "unflatten", tuple(sizes)


def _adaptive_pool(size: Any) -> Operation:
    return ("pool", None) if size in (1, (1, 1), [1, 1]) else "must pool to size 1"


def _max_pool(
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    return_indices: Any = False,
) -> Operation:
    if dilation not in (1, (1, 1)) or ceil_mode or return_indices:
        return "must have dilation=1, ceil_mode=False and return_indices=False"
    return "maximum", Pool("max", kernel_size, stride or kernel_size, padding)


def _mean(dim: Any, keepdim: Any) -> Operation:
    axes = sorted(dim) if isinstance(dim, tuple | list) else dim
    if axes not in ([2, 3], [-2, -1]):
        return "must take the mean over the axes (2, 3) of an image"
    return "pool", None if keepdim else "flat"


def _tail(kind: str, dim: Any) -> Operation:
    # Without a dim torch takes the last axis of a matrix.
    return (kind, None) if dim in (None, 1, -1) else "does not act on the last axis"
