"""What a network computes, without its weights: :class:`Layer` and :class:`Architecture`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

ACTIVATIONS = (
    "identity",
    "relu",
    "leaky_relu",
    "gelu",
    "tanh",
    "sigmoid",
    "silu",
    "elu",
    "softplus",
)
"""Names of the activations that a layer can have; the order is the code in encodings."""

NORMS = ("none", "batch", "layer")
"""Names of the normalisations that a layer can have; the order is the code in encodings."""

OUTPUTS = ("logits", "values", "multilabel")
"""What the last layer's numbers are: class logits, regression values, one logit per label."""


@dataclass(frozen=True)
class Layer:
    """One linear map and what follows it.

    The order of operations is: linear, normalisation (unless ``norm_after``), skip
    connections if ``skip_before``, activation, normalisation if ``norm_after``, skip
    connections otherwise, dropout (in training only).

    Parameters
    ----------
    width : int
        Number of neurons, the rows of the weight matrix.
    activation : str, default="identity"
        One of ``ACTIVATIONS``.
    norm : {"none", "batch", "layer"}, default="none"
        Batch or layer normalisation.
    norm_after : bool, default=False
        Normalise behind the activation instead of in front of it.
    skips : tuple of int, default=()
        Earlier states added to this layer's: 0 is the input, ``k`` the output of layer
        ``k`` counted from 1. A narrower state is padded with zeros at its end.
    skip_before : bool, default=False
        Add the skip connections in front of the activation instead of at the end.
    dropout : float, default=0.0
        Share of this layer's outputs set to zero in training.
    bias, affine : bool, default=True
        Whether the linear map has a bias, the normalisation a scale and a shift.
    eps : float, default=1e-5
        Added to the variance in the normalisation.
    """

    width: int
    activation: str = "identity"
    norm: str = "none"
    norm_after: bool = False
    skips: tuple[int, ...] = ()
    skip_before: bool = False
    dropout: float = 0.0
    bias: bool = True
    affine: bool = True
    eps: float = 1e-5

    def __post_init__(self) -> None:
        object.__setattr__(self, "skips", tuple(sorted(self.skips)))
        if self.width < 1:
            raise ValueError(f"The 'width' of a Layer must be at least 1. Got {self.width}.")
        if len(set(self.skips)) < len(self.skips):
            raise ValueError(f"The 'skips' of a Layer must name each state once. Got {self.skips}.")
        for name, value, options in (
            ("activation", self.activation, ACTIVATIONS),
            ("norm", self.norm, NORMS),
        ):
            if value not in options:
                raise ValueError(
                    f"The {name!r} of a Layer must be one of {options}. Got {value!r}."
                )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(
                f"The 'dropout' of a Layer must be in the range [0, 1). Got {self.dropout}."
            )


@dataclass(frozen=True)
class Architecture:
    """The spec of a feed-forward network: its input size, its layers, what its outputs are.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    layers : sequence of Layer
        From the first hidden layer to the output layer.
    output : {"logits", "values", "multilabel"}, default="logits"
        Meaning of the outputs: class logits (softmax over them gives probabilities),
        regression values, or one independent logit per label.

    Examples
    --------
    >>> from skmeta.population import Architecture
    >>> architecture = Architecture.mlp((14, 64, 64, 2), activation="relu")
    >>> architecture.widths, architecture.n_parameters
    ((14, 64, 64, 2), 5250)
    """

    n_inputs: int
    layers: tuple[Layer, ...]
    output: str = "logits"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.n_inputs < 1 or not self.layers:
            raise ValueError(
                "An Architecture needs at least one input and one layer. "
                f"Got n_inputs={self.n_inputs} and {len(self.layers)} layers."
            )
        if self.output not in OUTPUTS:
            raise ValueError(
                f"The 'output' of an Architecture must be one of {OUTPUTS}. Got {self.output!r}."
            )
        widths = self.widths
        for index, layer in enumerate(self.layers, start=1):
            for source in layer.skips:
                if not 0 <= source < index or widths[source] > layer.width:
                    raise ValueError(
                        f"Layer {index} cannot add a skip connection from {source}: a source is "
                        "an earlier state (0 is the input) that is not wider than the layer. "
                        f"Widths are {widths}."
                    )

    @classmethod
    def mlp(
        cls, widths: Sequence[int], *, activation: str = "relu", output: str = "logits"
    ) -> Architecture:
        """Return a plain multilayer perceptron with the given widths, input to output."""
        hidden = [Layer(width, activation) for width in widths[1:-1]]
        return cls(widths[0], (*hidden, Layer(widths[-1])), output)

    @property
    def widths(self) -> tuple[int, ...]:
        """Sizes of all states, from the input to the output."""
        return (self.n_inputs, *(layer.width for layer in self.layers))

    @property
    def depth(self) -> int:
        """Number of linear layers."""
        return len(self.layers)

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.layers[-1].width

    @property
    def n_parameters(self) -> int:
        """Number of trainable weights, biases, scales and shifts."""
        widths, total = self.widths, 0
        for fan_in, layer in zip(widths, self.layers, strict=False):
            affine = 2 * (layer.norm != "none" and layer.affine)
            total += layer.width * (fan_in + layer.bias + affine)
        return total

    def to_dict(self) -> dict:
        """Return plain JSON types that :meth:`from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, spec: dict) -> Architecture:
        """Build an architecture from what :meth:`to_dict` returned."""
        layers = tuple(
            Layer(**{**layer, "skips": tuple(layer.get("skips", ()))}) for layer in spec["layers"]
        )
        return cls(spec["n_inputs"], layers, spec["output"])


def summarise(architectures: Sequence[Architecture]) -> str:
    """Say how many inputs, outputs and parameters networks have, from the least to the most."""
    parts = []
    for label, values in (
        ("input", [a.n_inputs for a in architectures]),
        ("output", [a.n_outputs for a in architectures]),
    ):
        parts.append(f"{_span(values)} {label}{'s' * (max(values) != 1)}")
    counts = [a.n_parameters for a in architectures]
    parts.append(f"{_span(counts)} parameters{' each' * (min(counts) == max(counts))}")
    return ", ".join(parts)


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"
