"""Networks as ``torch.nn.Module``: :class:`MLP` and :class:`CNN`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta.networks.architecture import Architecture
from skmeta.networks.ops import Skip
from skmeta.networks.ops.base import Size
from skmeta.networks.record import Record
from skmeta.networks.stage import Stage


class _Network(nn.Module):
    """Feed-forward network that is built from an :class:`Architecture`."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.blocks = nn.ModuleList(
            _Block(fan_in, stage, sizes)
            for fan_in, stage, sizes in zip(
                architecture.widths, architecture.stages, architecture.sizes, strict=False
            )
        )

    def forward(self, X: Tensor) -> Tensor:
        """Run the network.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_inputs)
            Rows.

        Returns
        -------
        Tensor of shape (n_samples, n_outputs)
            Outputs of the last layer.
        """
        states = [X]
        for block in self.blocks:
            states.append(block(states))
        return states[-1]


class MLP(_Network):
    """Feed-forward network that is built from an :class:`Architecture`.

    Parameters
    ----------
    architecture : Architecture
        The spec; it stays readable as ``module.architecture``.

    Examples
    --------
    >>> import torch
    >>> from skmeta.networks import MLP, Architecture
    >>> module = MLP(Architecture.mlp((3, 8, 2)))
    >>> module(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """


class CNN(_Network):
    """Convolutional network that is built from an :class:`Architecture`.

    Parameters
    ----------
    architecture : Architecture
        The spec, with an ``input_shape``; it stays readable as ``module.architecture``.

    Examples
    --------
    >>> import torch
    >>> from skmeta.networks import CNN, Architecture
    >>> module = CNN(Architecture.cnn((1, 16, 16), (8, 8), 10, stride=2))
    >>> module(torch.zeros(5, 1, 16, 16)).shape, module(torch.zeros(5, 256)).shape
    (torch.Size([5, 10]), torch.Size([5, 10]))
    """

    def forward(self, X: Tensor) -> Tensor:
        """Run the network on images or their flattened rows.

        Parameters
        ----------
        X : Tensor of shape (n_samples, channels, height, width) or (n_samples, n_inputs)
            The images.

        Returns
        -------
        Tensor of shape (n_samples, n_outputs)
            Outputs of the last layer.
        """
        assert self.architecture.input_shape is not None
        return super().forward(X.reshape(-1, *self.architecture.input_shape))


class _Block(nn.Module):
    """One :class:`Stage`: a linear map or a convolution and what follows it."""

    def __init__(self, fan_in: int, stage: Stage, sizes: Sequence[Size]) -> None:
        super().__init__()
        self.stage = stage
        self.linear = stage.mix.module(fan_in)
        for name, op, size in zip(_names(stage), stage.tail, sizes[1:], strict=True):
            module = op.module(stage.width, size)
            if module is not None:
                self.add_module(name, module)

    def forward(self, states: list[Tensor]) -> Tensor:
        h = self.linear(states[-1])
        for name, op in zip(_names(self.stage), self.stage.tail, strict=True):
            if isinstance(op, Skip):
                state = states[op.source]
                h = h + nn.functional.pad(state, (0, h.shape[-1] - state.shape[-1]))
            else:
                h = self.get_submodule(name)(h)
        return h


def _names(stage: Stage) -> list[str]:
    """Name the operations of a tail; a second one of a kind gets a number."""
    kinds = [type(op).__name__.lower() for op in stage.tail]
    counts = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [f"{k}{n + 1}" if n else k for k, n in zip(kinds, counts, strict=True)]


_IN_MODULES = {
    "weight": "linear.weight",
    "bias": "linear.bias",
    "scale": "norm.weight",
    "shift": "norm.bias",
    "mean": "norm.running_mean",
    "var": "norm.running_var",
}


def tensor_names(architecture: Architecture) -> dict[str, str]:
    """Return where a module keeps the tensors of a :class:`Record`."""
    return {s.name: f"blocks.{s.stage}.{_IN_MODULES[s.field]}" for s in architecture.slots}


def to_module(record: Record) -> MLP | CNN:
    """Return the network of a record as a module in evaluation mode.

    Parameters
    ----------
    record : Record
        Architecture and tensors; the module gets copies in their floating type.

    Returns
    -------
    MLP or CNN
        A CNN if the architecture has an ``input_shape``.
    """
    kind = MLP if record.architecture.input_shape is None else CNN
    # Without numbers of its own, which it would draw from torch's global generator.
    with torch.device("meta"):
        module = kind(record.architecture)
    state = {
        name: record.tensors[slot].detach().to("cpu", copy=True)
        for slot, name in tensor_names(record.architecture).items()
    }
    for name, value in module.state_dict().items():
        if name not in state:  # how many batches a batch normalisation has seen
            state[name] = torch.zeros(value.shape, dtype=value.dtype)
    module.load_state_dict(state, assign=True)
    return module.eval()
