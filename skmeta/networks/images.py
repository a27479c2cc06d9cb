"""Images and how convolutions move over them, without weights: :class:`Convolution`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from skmeta.networks.architecture import Architecture


class Convolution(NamedTuple):
    """How a convolution moves over an image: pairs of (vertical, horizontal) numbers."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    pooled: bool

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width behind the convolution, in front of the pooling."""
        height, width = (
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(size, self.kernel, self.stride, self.padding, strict=True)
        )
        return height, width


def check_images(spec: Architecture) -> None:
    """Raise unless an architecture's convolutions go with its images, or it has neither."""
    steps = [layer.convolution for layer in spec.layers]
    n = sum(step is not None for step in steps)
    if (spec.input_shape is None) != (n == 0):
        raise ValueError(
            "An Architecture has an 'input_shape' (channels, height, width) if and only if "
            f"it has convolutions. Got input_shape={spec.input_shape} and {n} convolutions."
        )
    if spec.input_shape is None:
        return
    if len(spec.input_shape) != 3 or math.prod(spec.input_shape) != spec.n_inputs:
        raise ValueError(
            "The 'input_shape' of an Architecture must be (channels, height, width) of "
            f"n_inputs numbers. Got {spec.input_shape} and n_inputs={spec.n_inputs}."
        )
    pooled = [step is not None and step.pooled for step in steps]
    if None in steps[:n] or pooled != [index == n - 1 for index in range(len(steps))]:
        raise ValueError(
            "The convolutions of an Architecture come before its linear layers, and the "
            "last of them, and no other, has pool='mean'. Got layers with kernels "
            f"{[x.kernel for x in spec.layers]} and pools {[x.pool for x in spec.layers]}."
        )
    if any(layer.skips for layer in spec.layers):
        raise ValueError(
            "An Architecture with convolutions has no skip connections. Got "
            f"skips={[layer.skips for layer in spec.layers]}. Leave them out."
        )
    if min(map(min, spec.image_sizes)) < 1:
        raise ValueError(
            f"The images of {spec.input_shape} are too small for the convolutions: their "
            f"sizes become {spec.image_sizes}. Use fewer, smaller strides or more padding."
        )
