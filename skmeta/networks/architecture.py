"""What a network computes, without its weights: :class:`Layer` and :class:`Architecture`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from skmeta._checks import check_in_range, shown
from skmeta.networks.images import Convolution, check_images

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

POOLS = ("none", "mean")
"""Names of the poolings behind a convolution: none, or the mean over all positions."""

_CONVOLUTION_FIELDS = ("kernel", "stride", "padding", "pool")

OUTPUTS = ("logits", "values", "multilabel")
"""What the last layer's numbers are: class logits, regression values, one logit per label."""


@dataclass(frozen=True)
class Layer:
    """One linear map, or one convolution, and what follows it.

    The order of operations is: linear, normalisation (unless ``norm_after``), skip
    connections if ``skip_before``, activation, normalisation if ``norm_after``, skip
    connections otherwise, dropout (in training only), pooling.

    Parameters
    ----------
    width : int
        Number of neurons, the rows of the weight matrix; of a convolution the channels.
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
    kernel : int or (int, int), optional
        Height and width of the filters: the layer is then a two-dimensional convolution.
    stride : int or (int, int), default=1
        Step of the filters.
    padding : int or (int, int), default=0
        Zeros around the image, on either side.
    pool : {"none", "mean"}, default="none"
        Whether a convolution ends with the mean over all positions.
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
    kernel: int | tuple[int, int] | None = None
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    pool: str = "none"

    def __post_init__(self) -> None:
        check_in_range("width", self.width, owner="Layer", low=1, kind="int")
        check_in_range("dropout", self.dropout, owner="Layer", low=0, high=1, closed="left")
        check_in_range("eps", self.eps, owner="Layer", low=0, high=math.inf, closed="left")
        if not isinstance(self.skips, Iterable):
            raise TypeError(
                "The 'skips' of a Layer must be a tuple of the states that are added to its "
                f"output. Got {shown(self.skips)}. For one state pass (state,)."
            )
        for source in self.skips:
            check_in_range("skips", source, owner="Layer", low=0, kind="int")
        # Plain ints: numpy's do not go into JSON.
        object.__setattr__(self, "width", int(self.width))
        object.__setattr__(self, "skips", tuple(sorted(map(int, self.skips))))
        if len(set(self.skips)) < len(self.skips):
            raise ValueError(
                f"The 'skips' of a Layer must name each state once. Got {shown(self.skips)}."
            )
        for name, value, options in (
            ("activation", self.activation, ACTIVATIONS),
            ("norm", self.norm, NORMS),
            ("pool", self.pool, POOLS),
        ):
            if value not in options:
                raise ValueError(
                    f"The {name!r} of a Layer must be one of {options}. Got {shown(value)}."
                )
        self._check_convolution()

    def _check_convolution(self) -> None:
        given = {name: getattr(self, name) for name in _CONVOLUTION_FIELDS}
        if self.kernel is None:
            if given != {"kernel": None, "stride": 1, "padding": 0, "pool": "none"}:
                raise ValueError(
                    "The 'stride', 'padding' and 'pool' of a Layer belong to a convolution. Got "
                    f"{shown(given)}. Give the size of the filters as 'kernel', for instance "
                    "(3, 3)."
                )
            return
        for name, low in (("kernel", 1), ("stride", 1), ("padding", 0)):
            value = given[name]
            pair = (value, value) if isinstance(value, int) else tuple(value)
            if len(pair) != 2 or any(type(v) is not int or v < low for v in pair):
                raise ValueError(
                    f"The '{name}' of a Layer must be an int of at least {low} or a pair of "
                    f"them. Got {shown(value)}."
                )
            object.__setattr__(self, name, pair)
        if self.norm != "none" or self.skips:
            raise ValueError(
                "A convolution has no normalisation and no skip connections. Got "
                f"norm={self.norm!r} and skips={self.skips}. Leave them out."
            )

    @property
    def convolution(self) -> Convolution | None:
        """How the layer moves over an image; None if it is linear."""
        if self.kernel is None:
            return None
        assert isinstance(self.kernel, tuple)
        assert isinstance(self.stride, tuple) and isinstance(self.padding, tuple)
        return Convolution(self.kernel, self.stride, self.padding, self.pool == "mean")

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """What follows ``(width_out, width_in)`` in the shape of the weights."""
        return () if self.convolution is None else self.convolution.kernel


@dataclass(frozen=True)
class Architecture:
    """The spec of a feed-forward network: its input size, its layers, what its outputs are.

    Convolutions come first, the last of them pools, and linear layers may follow.

    Parameters
    ----------
    n_inputs : int
        Number of input features; of an image channels * height * width.
    layers : sequence of Layer
        From the first hidden layer to the output layer.
    output : {"logits", "values", "multilabel"}, default="logits"
        Meaning of the outputs: class logits (softmax over them gives probabilities),
        regression values, or one independent logit per label.
    input_shape : (int, int, int), optional
        Channels, height and width of the images that a convolutional network takes; a row
        of its data is a flattened image.

    Examples
    --------
    >>> from skmeta.networks import Architecture
    >>> architecture = Architecture.mlp((14, 64, 64, 2), activation="relu")
    >>> architecture.widths, architecture.n_parameters
    ((14, 64, 64, 2), 5250)
    >>> small_cnn = Architecture.cnn((1, 16, 16), (16, 16, 16), 10, stride=2)
    >>> small_cnn.n_inputs, small_cnn.widths, small_cnn.n_parameters
    (256, (1, 16, 16, 16, 10), 4970)
    """

    n_inputs: int
    layers: tuple[Layer, ...]
    output: str = "logits"
    input_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        check_in_range("n_inputs", self.n_inputs, owner="Architecture", low=1, kind="int")
        object.__setattr__(self, "n_inputs", int(self.n_inputs))
        layers = self.layers if isinstance(self.layers, tuple | list) else ()
        if not layers or not all(isinstance(layer, Layer) for layer in layers):
            raise TypeError(
                "The 'layers' of an Architecture must be one or more Layers, from the first "
                f"hidden layer to the output. Got {self.layers!r}. Widths make an Architecture: "
                "Architecture.mlp((3, 4, 2))."
            )
        object.__setattr__(self, "layers", tuple(layers))
        if self.output not in OUTPUTS:
            raise ValueError(
                f"The 'output' of an Architecture must be one of {OUTPUTS}. Got "
                f"{shown(self.output)}."
            )
        check_images(self)
        if self.input_shape is not None:
            object.__setattr__(self, "input_shape", tuple(self.input_shape))
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
        """Return a plain multilayer perceptron.

        Parameters
        ----------
        widths : sequence of int
            Sizes of all states, from the input to the output.
        activation : str, default="relu"
            Of the hidden layers, one of ``skmeta.networks.ACTIVATIONS``.
        output : str, default="logits"
            What the last layer means, as in :class:`Architecture`.

        Returns
        -------
        Architecture
            Without normalisation, dropout and skip connections.
        """
        if not isinstance(widths, Sequence | np.ndarray) or len(widths) < 2:
            raise TypeError(
                "The 'widths' of Architecture.mlp must be two or more ints, from the inputs to the "
                f"outputs, for instance (3, 4, 2). Got {shown(widths)}."
            )
        hidden = [Layer(width, activation) for width in widths[1:-1]]
        return cls(widths[0], (*hidden, Layer(widths[-1])), output)

    @classmethod
    def cnn(
        cls,
        input_shape: tuple[int, int, int],
        channels: Sequence[int],
        n_outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> Architecture:
        """Return convolutions of one kind, a mean over all positions and a linear layer.

        Parameters
        ----------
        input_shape : (int, int, int)
            Channels, height and width of the images.
        channels : sequence of int
            Of the convolutions' outputs, in order.
        n_outputs : int
            Size of the linear layer.
        kernel, stride, padding : int
            Of every convolution, alike in height and width.
        activation : str, default="relu"
            Behind every convolution, one of ``skmeta.networks.ACTIVATIONS``.
        dropout : float, default=0.0
            Behind every convolution.

        Returns
        -------
        Architecture
            Its outputs are logits.
        """
        layers = [
            Layer(width, activation, dropout=dropout, kernel=kernel, stride=stride, padding=padding)
            for width in channels
        ]
        if layers:
            layers[-1] = replace(layers[-1], pool="mean")
        return cls(math.prod(input_shape), (*layers, Layer(n_outputs)), input_shape=input_shape)

    @property
    def widths(self) -> tuple[int, ...]:
        """Sizes of all states, from the input to the output; of images the channels."""
        first = self.n_inputs if self.input_shape is None else self.input_shape[0]
        return (first, *(layer.width for layer in self.layers))

    @property
    def geometry(self) -> tuple:
        """What networks of one stack share beside the depth: images and convolutions."""
        return (self.input_shape, *(layer.convolution for layer in self.layers))

    @property
    def image_sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width in front of every convolution and behind the last, unpooled."""
        sizes = [] if self.input_shape is None else [self.input_shape[1:]]
        for layer in self.layers:
            if layer.convolution is not None:
                sizes.append(layer.convolution.output_size(sizes[-1]))
        return tuple(sizes)

    @property
    def depth(self) -> int:
        """Number of linear layers and convolutions."""
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
            total += layer.width * (fan_in * math.prod(layer.kernel_shape) + layer.bias + affine)
        return total

    def to_dict(self) -> dict:
        """Describe the architecture in plain JSON types.

        Returns
        -------
        dict
            What :meth:`from_dict` reads; only images name their shape.
        """
        spec: dict[str, Any] = asdict(self)
        if self.input_shape is None:
            del spec["input_shape"]
        for layer in spec["layers"]:
            if layer["kernel"] is None:
                for name in _CONVOLUTION_FIELDS:
                    del layer[name]
        return spec

    @classmethod
    def from_dict(cls, spec: dict) -> Architecture:
        """Build an architecture from what :meth:`to_dict` returned.

        Parameters
        ----------
        spec : dict
            Also after a round trip through JSON, with lists for tuples.

        Returns
        -------
        Architecture
            Equal to the one that was described.
        """
        return cls(**{**spec, "layers": tuple(_layer_from_dict(x) for x in spec["layers"])})


def _layer_from_dict(spec: dict) -> Layer:
    # JSON knows no tuples.
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()}
    return Layer(**options)


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
