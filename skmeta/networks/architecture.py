"""What a network computes, without its weights: :class:`Architecture`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from skmeta._checks import check_in_range, shown
from skmeta.networks.ops import Activate, Conv, Dropout, Linear, Norm, Pool, Skip
from skmeta.networks.ops.base import Size
from skmeta.networks.slots import Slot
from skmeta.networks.stage import Stage

OUTPUTS = ("logits", "values", "multilabel")
"""What the last stage's numbers are: class logits, regression values, one logit per label."""


@dataclass(frozen=True)
class Architecture:
    """The spec of a feed-forward network: its input size, its stages, what its outputs are.

    Convolutions come first; what they see is pooled to rows before the first linear stage.

    Parameters
    ----------
    n_inputs : int
        Number of input features; of an image channels * height * width.
    stages : sequence of Stage
        From the first hidden stage to the outputs.
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
    stages: tuple[Stage, ...]
    output: str = "logits"
    input_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        check_in_range("n_inputs", self.n_inputs, owner="Architecture", low=1, kind="int")
        object.__setattr__(self, "n_inputs", int(self.n_inputs))
        stages = self.stages if isinstance(self.stages, tuple | list) else ()
        if not stages or not all(isinstance(stage, Stage) for stage in stages):
            raise TypeError(
                "The 'stages' of an Architecture must be one or more Stages, from the first "
                f"hidden one to the output. Got {self.stages!r}. Widths make an Architecture: "
                "Architecture.mlp((3, 4, 2))."
            )
        object.__setattr__(self, "stages", tuple(stages))
        if self.output not in OUTPUTS:
            raise ValueError(
                f"The 'output' of an Architecture must be one of {OUTPUTS}. Got "
                f"{shown(self.output)}."
            )
        self._check_images()
        if self.input_shape is not None:
            object.__setattr__(self, "input_shape", tuple(self.input_shape))
        widths = self.widths
        for index, stage in enumerate(self.stages, start=1):
            for source in stage.skips:
                if not 0 <= source < index or widths[source] > stage.width:
                    raise ValueError(
                        f"Stage {index} cannot add a skip connection from {source}: a source is "
                        "an earlier state (0 is the input) that is not wider than the stage. "
                        f"Widths are {widths}."
                    )

    def _check_images(self) -> None:
        shape, n = self.input_shape, sum(isinstance(s.mix, Conv) for s in self.stages)
        if (shape is None) != (n == 0):
            raise ValueError(
                "An Architecture has an 'input_shape' (channels, height, width) if and only if "
                f"it has convolutions. Got input_shape={shape} and {n} convolutions."
            )
        if shape is not None and (len(shape) != 3 or math.prod(shape) != self.n_inputs):
            raise ValueError(
                "The 'input_shape' of an Architecture must be (channels, height, width) of "
                f"n_inputs numbers. Got {shape} and n_inputs={self.n_inputs}."
            )
        size: Size = None if shape is None else (shape[1], shape[2])
        sizes = [size]
        for stage in self.stages:
            for op in stage.ops:
                if isinstance(op, Conv | Pool) != (size is not None) and isinstance(
                    op, Conv | Pool | Linear
                ):
                    raise ValueError(
                        "The convolutions of an Architecture come before its linear layers, and "
                        "the last of them, and no other, ends with Pool('mean'). Got "
                        f"{self.stages}."
                    )
                rows = isinstance(op, Norm) and op.kind == "layer" and size is not None
                if rows or (shape is not None and isinstance(op, Skip)):
                    raise ValueError(
                        "An Architecture with convolutions has no skip connections, and no layer "
                        f"normalisation of images. Got {stage}. Leave them out."
                    )
                if (after := op.output_size(size)) != size:
                    sizes.append(after)
                size = after
                if size is not None and min(size) < 1:
                    raise ValueError(
                        f"The images of {shape} are too small for the convolutions: their sizes "
                        f"become {tuple(sizes)}. Use fewer, smaller strides or more padding."
                    )
        if size is not None:
            raise ValueError(
                "The last convolution of an Architecture must end with Pool('mean'). Got "
                f"{self.stages}."
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
            Of the hidden stages, one of ``skmeta.networks.ACTIVATIONS``.
        output : str, default="logits"
            What the last stage means, as in :class:`Architecture`.

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
        hidden = [Stage.dense(width, activation) for width in widths[1:-1]]
        return cls(widths[0], (*hidden, Stage.dense(widths[-1])), output)

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
        """Return convolutions of one kind, a mean over all positions and a linear stage.

        Parameters
        ----------
        input_shape : (int, int, int)
            Channels, height and width of the images.
        channels : sequence of int
            Of the convolutions' outputs, in order.
        n_outputs : int
            Size of the linear stage.
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
        tail = (Activate(activation), Dropout(dropout))
        stages = [Stage(Conv(width, kernel, stride, padding), *tail) for width in channels]
        if stages:
            stages[-1] = Stage(stages[-1].mix, *stages[-1].tail, Pool("mean"))
        last = Stage.dense(n_outputs)
        return cls(math.prod(input_shape), (*stages, last), input_shape=input_shape)

    @property
    def widths(self) -> tuple[int, ...]:
        """Sizes of all states, from the input to the output; of images the channels."""
        first = self.n_inputs if self.input_shape is None else self.input_shape[0]
        return (first, *(stage.width for stage in self.stages))

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """All tensors of the network, stage by stage."""
        pairs = enumerate(zip(self.widths, self.stages, strict=False))
        return tuple(s for i, (width, stage) in pairs for s in stage.slots(i, width))

    @cached_property
    def sizes(self) -> tuple[tuple[Size, ...], ...]:
        """Height and width of the images in front of each operation of each stage."""
        size: Size = None if self.input_shape is None else self.input_shape[1:]
        found = []
        for stage in self.stages:
            here = []
            for op in stage.ops:
                here.append(size)
                size = op.output_size(size)
            found.append(tuple(here))
        return tuple(found)

    @property
    def geometry(self) -> tuple:
        """What networks of one stack share beside the depth: images, convolutions, poolings."""
        moves = []
        for stage in self.stages:
            windows = stage.mix.windows if isinstance(stage.mix, Conv) else None
            moves.append((windows, *(op for op in stage.tail if isinstance(op, Pool))))
        return (self.input_shape, *moves)

    @property
    def depth(self) -> int:
        """Number of stages."""
        return len(self.stages)

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.stages[-1].width

    @property
    def n_parameters(self) -> int:
        """Number of trainable weights, biases, scales and shifts."""
        return sum(math.prod(slot.shape) for slot in self.slots if slot.trained)

    def to_dict(self) -> dict:
        """Describe the architecture in plain JSON types.

        Returns
        -------
        dict
            What :meth:`from_dict` reads; only images name their shape.
        """
        spec: dict[str, Any] = {"n_inputs": self.n_inputs, "output": self.output}
        if self.input_shape is not None:
            spec["input_shape"] = list(self.input_shape)
        return spec | {"stages": [stage.to_dict() for stage in self.stages]}

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
        shape = spec.get("input_shape")
        stages = tuple(map(Stage.from_dict, spec["stages"]))
        return cls(spec["n_inputs"], stages, spec["output"], shape and tuple(shape))


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
