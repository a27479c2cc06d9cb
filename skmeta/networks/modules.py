"""Networks as ``torch.nn.Module``: :class:`MLP` and :class:`CNN`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmeta.networks.activations import ACTIVATION_FUNCTIONS, BATCH_NORM_MOMENTUM
from skmeta.networks.architecture import Architecture, Layer
from skmeta.networks.record import Record


class _Network(nn.Module):
    """Feed-forward network that is built from an :class:`Architecture`."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.blocks = nn.ModuleList(
            _Block(fan_in, layer)
            for fan_in, layer in zip(architecture.widths, architecture.layers, strict=False)
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
    """One :class:`Layer`: a linear map or a convolution and what follows it."""

    def __init__(self, fan_in: int, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.linear: nn.Module
        if layer.convolution is None:
            self.linear = nn.Linear(fan_in, layer.width, bias=layer.bias)
        else:
            kernel, stride, padding, _ = layer.convolution
            self.linear = nn.Conv2d(fan_in, layer.width, kernel, stride, padding, bias=layer.bias)
        self.norm: nn.Module | None = None
        if layer.norm == "batch":
            self.norm = nn.BatchNorm1d(
                layer.width, eps=layer.eps, momentum=BATCH_NORM_MOMENTUM, affine=layer.affine
            )
        elif layer.norm == "layer":
            self.norm = nn.LayerNorm(layer.width, eps=layer.eps, elementwise_affine=layer.affine)
        self.dropout = nn.Dropout(layer.dropout) if layer.dropout else None

    def forward(self, states: list[Tensor]) -> Tensor:
        layer = self.layer
        h = self.linear(states[-1])
        if self.norm is not None and not layer.norm_after:
            h = self.norm(h)
        if layer.skip_before:
            h = self._add_skips(h, states)
        h = ACTIVATION_FUNCTIONS[layer.activation](h)
        if self.norm is not None and layer.norm_after:
            h = self.norm(h)
        if not layer.skip_before:
            h = self._add_skips(h, states)
        h = h if self.dropout is None else self.dropout(h)
        return h.mean((2, 3)) if layer.pool == "mean" else h

    def _add_skips(self, h: Tensor, states: list[Tensor]) -> Tensor:
        for source in self.layer.skips:
            state = states[source]
            h = h + nn.functional.pad(state, (0, h.shape[-1] - state.shape[-1]))
        return h


def tensor_names(architecture: Architecture) -> tuple[dict[str, str], ...]:
    """Return where a module keeps the fields of a :class:`Record`, layer by layer."""
    out = []
    for index, layer in enumerate(architecture.layers):
        block = f"blocks.{index}"
        names = {"weight": f"{block}.linear.weight"}
        if layer.bias:
            names["bias"] = f"{block}.linear.bias"
        if layer.norm != "none" and layer.affine:
            names |= {"scale": f"{block}.norm.weight", "shift": f"{block}.norm.bias"}
        if layer.norm == "batch":
            names |= {"mean": f"{block}.norm.running_mean", "var": f"{block}.norm.running_var"}
        out.append(names)
    return tuple(out)


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
        name: record.tensors[field][index].detach().to("cpu", copy=True)
        for index, names in enumerate(tensor_names(record.architecture))
        for field, name in names.items()
    }
    for name, value in module.state_dict().items():
        if name not in state:  # how many batches a batch normalisation has seen
            state[name] = torch.zeros(value.shape, dtype=value.dtype)
    module.load_state_dict(state, assign=True)
    return module.eval()
