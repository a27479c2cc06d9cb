"""Reading what a ``torch.nn.Module`` computes from its traced graph: :func:`read_topology`.

The graph is walked once. Each value in it is a state (0 is the input, ``k`` the output of
the k-th linear layer) together with the operations since that linear layer; when the next
linear layer takes the value, the operations must form one :class:`Stage`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any, NoReturn

from torch import fx, nn

from skmeta.networks.activations import ACTIVATIONS
from skmeta.networks.adapters import _operations as operations
from skmeta.networks.adapters._common import InputScaling, UnsupportedNetworkError
from skmeta.networks.adapters._states import Op, Topology, Value
from skmeta.networks.ops import Activate, Conv, Dropout, Linear, Norm, Pool, Skip, TailOp
from skmeta.networks.stage import Stage

SUPPORTED = (
    "Supported are Linear, Conv2d with global mean pooling behind the last, BatchNorm1d and 2d, "
    "LayerNorm, MaxPool2d, Dropout, Identity, Flatten, the activations relu, leaky_relu, gelu, "
    "tanh, sigmoid, silu, elu and softplus with default parameters, and sin (of a multiple), "
    "additive skip connections between layers of equal width, and a Softmax, LogSoftmax or "
    "Sigmoid at the end."
)

_TAILS = ("softmax", "log_softmax", "squeeze")


# A trace puts its own methods in place of those of nn.Module, for all threads: two traces that
# overlap would leave them there.
_TRACING = threading.RLock()


class _Tracer(fx.Tracer):
    """Traces what its own thread does; modules of other threads run as ever meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def read_topology(module: nn.Module, *, values: bool = False) -> Topology:
    """Trace a module and read its layers.

    Parameters
    ----------
    module : nn.Module
        A copy of a network in evaluation mode without hooks; tracing may change it.
    values : bool, default=False
        Keep a sigmoid at the end as the activation of the last layer (a regressor's)
        instead of reading it as a probability.
    """
    bare = type(module) is nn.Linear
    if bare:  # fx looks into the module that it is given, and into a Linear one must not look.
        module = nn.Sequential(module)
    try:
        with _TRACING:
            graph = _Tracer().trace(module)
    except Exception as error:
        raise UnsupportedNetworkError(
            "it cannot be traced, perhaps because its forward depends on the data or takes "
            f"more than one input ({type(error).__name__}: {error}). {SUPPORTED}"
        ) from error
    reader = _Reader(module)
    for node in graph.nodes:
        reader.visit(node)
    topology = reader.topology(keep_sigmoid=values)
    if bare:
        names = {slot: name.removeprefix("0.") for slot, name in topology.names.items()}
        topology = replace(topology, names=names)
    return topology


class _Reader:
    def __init__(self, module: nn.Module) -> None:
        self.modules: dict[str, Any] = dict(module.named_modules(remove_duplicate=False))
        self.owners: dict[int, list[str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            self.owners.setdefault(id(parameter), []).append(name)
        self.values: dict[fx.Node, Value] = {}
        self.linears: list[str] = []
        self.states: list[Value] = []
        self.used: set[str] = set()
        self.output: Value | None = None
        self.input_shape: tuple[int, int, int] | None = None
        self.sizes: dict[fx.Node, str] = {}  # "shape" of a value, "rows" of its first axis

    # -- the walk ------------------------------------------------------------------------

    def visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if not self.values:
                self.values[node] = Value(0)
        elif node.op == "output":
            if not isinstance(node.args[0], fx.Node):
                self._fail("returns more than one tensor", "forward")
            self.output = self._value(node.args[0], "forward")
        elif node.op == "call_module":
            self.values[node] = self._call_module(node, str(node.target))
        elif node.op in ("call_function", "call_method"):
            if (size := operations.size(node, self.sizes)) is not None:
                self.sizes[node] = size
            else:
                self.values[node] = self._call(node)
        # What is left, get_attr, fails where its value is used.

    def _call_module(self, node: fx.Node, path: str) -> Value:
        module = self.modules[path]
        where = f"{type(module).__name__} at '{path}'"
        if path in self.used and module.state_dict():
            self._fail("is used more than once", where)
        self.used.add(path)
        value = self._value(node.args[0] if len(node.args) == 1 else None, where)
        if type(module) in (nn.Linear, nn.Conv2d):
            return self._linear(value, path, where)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            self._check_norm(module, path, where)
            return self._append(value, Op("norm", path), where)
        op = operations.from_module(module)
        if isinstance(op, str):
            self._fail(op, where)
        return self._append(value, Op(*op), where)

    def _call(self, node: fx.Node) -> Value:
        where = _location(node)
        if (scaled := self._scaled(node, where)) is not None:
            return scaled
        if operations.is_addition(node):
            return self._add(node, where)
        op = operations.from_call(node, self.sizes)
        if isinstance(op, str):
            self._fail(op, where)
        return self._append(self._value(node.args[0] if node.args else None, where), Op(*op), where)

    def _scaled(self, node: fx.Node, where: str) -> Value | None:
        """Return the inputs scaled by a constant, None if the node does something else."""
        if not operations.is_arithmetic(node):
            return None
        values = [self.values.get(a) if isinstance(a, fx.Node) else None for a in node.args]
        found = [(place, value) for place, value in enumerate(values) if value is not None]
        if len(found) != 1:
            return None
        if found[0][1].state:
            factor = operations.factor(node, found[0][0])
            return None if factor is None else self._append(found[0][1], Op("times", factor), where)
        scaling = operations.scaling(node, found[0][0], self.modules[""])
        if isinstance(scaling, str):
            self._fail(scaling, where)
        return self._append(found[0][1], Op("scale", scaling), where)

    def _value(self, argument: Any, where: str) -> Value:
        value = self.values.get(argument) if isinstance(argument, fx.Node) else None
        if value is None:
            self._fail("takes something else than the output of a supported operation", where)
        return value

    def _append(self, value: Value, op: Op, where: str) -> Value:
        if op.kind == "identity" or (op.kind == "flatten" and value.state == 0):
            return value
        if op.kind == "flatten":
            if op.what not in (None, self._width(value.state)):
                self._fail(f"regroups the {self._width(value.state)} outputs of a layer", where)
            op = Op("flatten")
        if value.state == 0 and op.kind == "unflatten":
            self.input_shape = op.what
            return value
        if value.state != len(self.linears):
            self._fail("branches off behind a state that the next layer has taken", where)
        if value.state == 0 and op.kind not in ("dropout", "scale"):
            self._fail("stands before the first Linear or Conv2d", where)
        if Op("squeeze") in value.ops and op.kind not in ("activation", "dropout", "squeeze"):
            self._fail("acts on outputs whose last axis was removed", where)
        image, pooled = self._is_image(value), value.pooled
        flat_norm = op.kind == "norm" and not isinstance(self.modules[op.what], nn.BatchNorm2d)
        if image and (flat_norm or op.kind == "skip" or (op.kind == "flatten" and not pooled)):
            self._fail(
                "acts on an image, as only activations, BatchNorm2d, Dropout and pooling may", where
            )
        pools = op.kind in ("pool", "maximum") or (op.kind == "norm" and not flat_norm)
        if op.kind == "unflatten" or (pools and (pooled or not image)):
            self._fail("does not act on the image behind a Conv2d", where)
        return Value(value.state, (*value.ops, op))

    def _linear(self, value: Value, path: str, where: str) -> Value:
        if value.state != len(self.linears):
            self._fail("does not take the output of the layer before it", where)
        # Nobody but the next layer may close a state: a skip connection from it compares
        # with what that layer took.
        image = value.state == 0 or (self._is_image(value) and not value.pooled)
        if isinstance(self.modules[path], nn.Conv2d):
            if not image:
                self._fail("takes something else than an image", where)
            if value.scaled:
                self._fail("takes images that the network scales; scale them before", where)
            if isinstance(geometry := operations.convolution(self.modules[path]), str):
                self._fail(geometry, where)
        elif self._is_image(value):
            self._fail("takes an image; pool it over all positions and flatten it", where)
        self.states.append(value)
        self.linears.append(path)
        self._check_parameters(path, where)
        return Value(value.state + 1)

    def _add(self, node: fx.Node, where: str) -> Value:
        sides = [self._value(argument, where) for argument in node.args[:2]]
        if len(sides) != 2 or node.kwargs:
            self._fail("is not a plain addition of two tensors", where)
        source, target = sorted(sides, key=lambda side: side.state)
        if source.state == target.state or target.state != len(self.linears):
            self._fail("adds two values of one layer, or changes a state of the past", where)
        if source.lasting != self.states[source.state].lasting:
            self._fail(
                "adds a value from inside a layer; a skip connection must start at the tensor "
                "that the next Linear takes",
                where,
            )
        if source.scaled:
            self._fail("adds inputs that the network scales; scale them before", where)
        widths = self._width(source.state), self._width(target.state)
        if widths[0] != widths[1]:
            self._fail(f"broadcasts an addition of widths {widths[0]} and {widths[1]}", where)
        if Op("skip", source.state) in target.ops:
            self._fail("adds the same state twice to a layer", where)
        return self._append(target, Op("skip", source.state), where)

    def _width(self, state: int) -> int:
        weight = self.modules[self.linears[max(state - 1, 0)]].weight
        return weight.shape[0] if state else weight.shape[1]

    def _is_image(self, value: Value) -> bool:
        """Whether a value is that of a convolution and still has a height and a width."""
        if not value.state or type(self.modules[self.linears[value.state - 1]]) is nn.Linear:
            return False
        return Op("pool", "flat") not in value.ops and Op("flatten") not in value.ops

    # -- checks of modules ---------------------------------------------------------------

    def _check_parameters(self, path: str, where: str) -> None:
        for name in ("weight", "bias"):
            parameter = getattr(self.modules[path], name)
            owners = self.owners.get(id(parameter), [])
            if parameter is not None and not owners:
                self._fail(
                    f"has a {name} that is no plain parameter (pruned or parametrized); make "
                    "it permanent first",
                    where,
                )
            if len(owners) > 1:
                self._fail(f"shares its {name}: {', '.join(owners)} are one parameter", where)

    def _check_norm(
        self, module: nn.modules.batchnorm._BatchNorm | nn.LayerNorm, path: str, where: str
    ) -> None:
        self._check_parameters(path, where)
        if not self.linears:
            return  # _append says what is wrong with a normalisation of the input.
        width = self._width(len(self.linears))
        if not isinstance(module, nn.LayerNorm):
            if module.running_mean is None or module.running_var is None:
                self._fail("keeps no running statistics", where)
            shape: tuple[int, ...] = (module.num_features,)
        else:
            shape = module.normalized_shape
        if shape != (width,):
            self._fail(f"does not normalise {width} neurons", where)
        if (module.weight is None) != (module.bias is None):
            self._fail("has only one of a scale and a shift", where)

    # -- the result ----------------------------------------------------------------------

    def topology(self, *, keep_sigmoid: bool) -> Topology:
        if not self.linears or self.output is None or self.output.state != len(self.linears):
            self._fail("does not return the output of its last Linear", "forward")
        if self._is_image(self.output):
            self._fail("returns an image; pool it over all positions and flatten it", "forward")
        ops, tail = list(self.output.lasting), "none"
        if Op("squeeze") in ops:
            if self._width(len(self.linears)) != 1:
                self._fail("removes the last axis of several outputs", "forward")
            ops = [op for op in ops if op.kind != "squeeze"]
        if ops and ops[-1].kind in ("softmax", "log_softmax"):
            tail = ops.pop().kind
        elif ops and ops[-1] == Op("activation", "sigmoid") and not keep_sigmoid:
            ops.pop()
            tail = "sigmoid"
        dropped = [op for op in self.output.ops if op.kind == "dropout"]
        self.states.append(Value(self.output.state, (*ops, *dropped)))
        stages = tuple(self._stage(index) for index in range(len(self.linears)))
        names: dict[str, str] = {}
        for index in range(len(self.linears)):
            names |= self._names(index)
        return Topology(self._width(0), stages, names, tail, self.input_shape, self._scaling())

    def _scaling(self) -> InputScaling | None:
        if not (steps := self.states[0].scaled):
            return None
        bias = self.modules[self.linears[0]].bias is not None
        return reduce(InputScaling.then, steps).expanded(self._width(0), bias=bias)

    def _stage(self, index: int) -> Stage:
        ops, path = self.states[index + 1].ops, self.linears[index]
        tail: list[TailOp] = []
        last = max((i for i, op in enumerate(ops) if op.kind == "dropout"), default=0)
        rate, factor = 0.0, None
        try:
            for i, op in enumerate(ops):
                takes = op.kind == "activation" and ACTIVATIONS[op.what].parameter is not None
                if factor is not None and not takes:
                    break
                if op.kind == "times":
                    factor = op.what
                elif op.kind == "activation":
                    tail.append(Activate(op.what, factor))
                    factor = None
                elif op.kind == "dropout":  # several are one
                    rate = rate + op.what - rate * op.what
                    tail += [Dropout(rate)] if i == last else []
                elif op.kind in _OPS:
                    tail.append(_OPS[op.kind](self, op.what))
                elif op.kind in _TAILS:
                    factor = 0.0  # softmaxes stand at the end of a network only
            if factor is None:
                return Stage(self._mix(path), *tail)
        except ValueError:
            pass
        self._fail(
            f"is followed by {' -> '.join(op.kind for op in ops if op.kind != 'flatten')}, which "
            "is not one layer: at most one normalisation and one activation, skip connections and "
            "poolings; a multiple goes with a sine only",
            f"{type(self.modules[path]).__name__} at '{path}'",
        )

    def _mix(self, path: str) -> Linear | Conv:
        module = self.modules[path]
        if isinstance(module, nn.Conv2d):
            conv = operations.convolution(module)
            assert isinstance(conv, Conv)  # what is wrong with it was said before
            return conv
        return Linear(module.out_features, module.bias is not None)

    def _norm(self, path: str) -> Norm:
        module = self.modules[path]
        kind = "layer" if isinstance(module, nn.LayerNorm) else "batch"
        return Norm(kind, module.weight is not None, module.eps)

    def _names(self, index: int) -> dict[str, str]:
        path = self.linears[index]
        names = {"weight": f"{path}.weight"}
        if self.modules[path].bias is not None:
            names["bias"] = f"{path}.bias"
        for op in self.states[index + 1].ops:
            if op.kind == "norm":
                norm = self.modules[op.what]
                if norm.weight is not None:
                    names |= {"scale": f"{op.what}.weight", "shift": f"{op.what}.bias"}
                if not isinstance(norm, nn.LayerNorm):
                    names["mean"] = f"{op.what}.running_mean"
                    names["var"] = f"{op.what}.running_var"
        return {f"{index}.{field}": name for field, name in names.items()}

    def _fail(self, what: str, where: str) -> NoReturn:
        raise UnsupportedNetworkError(f"{where} {what}. {SUPPORTED}")


_OPS: dict[str, Callable[[_Reader, Any], TailOp]] = {
    "norm": lambda reader, path: reader._norm(path),
    "skip": lambda reader, source: Skip(source),
    "pool": lambda reader, _: Pool("mean"),
    "maximum": lambda reader, pool: pool,
}
"""Operations of a stage from what the walk has found."""


def _location(node: fx.Node) -> str:
    """Name a call for error messages: the function and the module whose forward calls it."""
    stack = node.meta.get("nn_module_stack") or {}
    path = list(stack)[-1] if stack else ""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "?")
    return f"{name} in the forward of {f'{path!r}' if path else 'the network'}"
