"""The one table of activations: :data:`ACTIVATIONS`.

What an activation is called, computes and allows, how a module says it and how it is
differentiated by hand, is said here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_aten = torch.ops.aten

NO_OPTIONS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Activation:
    """An elementwise function.

    Attributes
    ----------
    code : int
        Its number in encodings of networks and in files of metanetworks: never changed, never
        given to another one.
    forward, in_place : callable
        The function, and the same in the memory of its argument.
    backward : callable
        ``backward(g, saved, out)`` writes the gradient at the input into ``out``.
    reads_output : bool
        Whether ``saved`` is the output; else it is the input.
    groups : tuple of str
        "scale" if ``f(c x) = c f(x)`` for every c > 0, "sign" if ``f(-x) = -f(x)``.
    lifts_zero : bool
        Whether ``f(0)`` is not 0, so that padding has to be hidden again.
    parameter : float or None
        Default of the number that the function takes beside its argument; None if it takes none.
    module : type or None
        The module of torch that computes it.
    functions : tuple
        Functions and names of methods of tensors that compute it.
    options : mapping
        Options of module and functions in order, with the only values that are read.
    """

    code: int
    forward: Callable[..., Tensor]
    in_place: Callable[..., Tensor]
    backward: Callable[..., Any]
    reads_output: bool = True
    groups: tuple[str, ...] = ()
    lifts_zero: bool = False
    parameter: float | None = None
    module: type[nn.Module] | None = None
    functions: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def _sine(z: Tensor, frequency: float) -> Tensor:
    return torch.sin(z * frequency)


def _sine_backward(g: Tensor, z: Tensor, out: Tensor, frequency: float) -> None:
    torch.mul(g, torch.cos(z * frequency).mul_(frequency), out=out)


ACTIVATIONS: Mapping[str, Activation] = {
    "identity": Activation(
        0, lambda z: z, lambda z: z, lambda g, _, out: out.copy_(g), groups=("scale", "sign")
    ),
    "relu": Activation(
        1,
        torch.relu,
        torch.relu_,
        lambda g, h, out: _aten.threshold_backward(g, h, 0.0, grad_input=out),
        groups=("scale",),
        module=nn.ReLU,
        functions=(torch.relu, torch.relu_, F.relu, "relu", "relu_"),
    ),
    "leaky_relu": Activation(
        2,
        F.leaky_relu,
        F.leaky_relu_,
        lambda g, h, out: _aten.leaky_relu_backward(g, h, 0.01, True, grad_input=out),
        groups=("scale",),
        module=nn.LeakyReLU,
        functions=(F.leaky_relu,),
        options={"negative_slope": 0.01},
    ),
    "gelu": Activation(
        3,
        F.gelu,
        _aten.gelu_,
        lambda g, z, out: _aten.gelu_backward(g, z, grad_input=out),
        reads_output=False,
        module=nn.GELU,
        functions=(F.gelu,),
        options={"approximate": "none"},
    ),
    "tanh": Activation(
        4,
        torch.tanh,
        torch.tanh_,
        lambda g, h, out: _aten.tanh_backward(g, h, grad_input=out),
        groups=("sign",),
        module=nn.Tanh,
        functions=(torch.tanh, torch.tanh_, F.tanh, "tanh", "tanh_"),
    ),
    "sigmoid": Activation(
        5,
        torch.sigmoid,
        torch.sigmoid_,
        lambda g, h, out: _aten.sigmoid_backward(g, h, grad_input=out),
        lifts_zero=True,
        module=nn.Sigmoid,
        functions=(torch.sigmoid, torch.sigmoid_, F.sigmoid, "sigmoid", "sigmoid_"),
    ),
    "silu": Activation(
        6,
        F.silu,
        lambda z: F.silu(z, inplace=True),
        lambda g, z, out: _aten.silu_backward(g, z, grad_input=out),
        reads_output=False,
        module=nn.SiLU,
        functions=(F.silu,),
    ),
    "elu": Activation(
        7,
        F.elu,
        F.elu_,
        lambda g, z, out: _aten.elu_backward(g, 1.0, 1.0, 1.0, False, z, grad_input=out),
        reads_output=False,
        module=nn.ELU,
        functions=(F.elu,),
        options={"alpha": 1.0},
    ),
    "softplus": Activation(
        8,
        F.softplus,
        lambda z: z.copy_(F.softplus(z)),
        lambda g, z, out: _aten.softplus_backward(g, z, 1.0, 20.0, grad_input=out),
        reads_output=False,
        lifts_zero=True,
        module=nn.Softplus,
        functions=(F.softplus,),
        options={"beta": 1.0, "threshold": 20.0},
    ),
    "sin": Activation(
        9,
        _sine,
        lambda z, frequency: z.mul_(frequency).sin_(),
        _sine_backward,
        reads_output=False,
        groups=("sign",),
        parameter=1.0,
        functions=(torch.sin, torch.sin_, "sin", "sin_"),
    ),
}
"""What is known of each activation, by its name."""
