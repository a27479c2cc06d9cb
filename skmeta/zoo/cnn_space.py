"""What a zoo of small convolutional networks is sampled from: :class:`CNNSearchSpace`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmeta.networks import ACTIVATIONS, INITIALIZATIONS, Architecture
from skmeta.training import RULES
from skmeta.zoo.checks import check_bounds, check_choices
from skmeta.zoo.search_space import Run, log_uniform

_NAMED = {
    "activations": ACTIVATIONS,
    "optimizers": RULES,
    "initializations": INITIALIZATIONS,
}


class CNNRun(Run):
    """A run whose optimiser, initial weights and training rows vary as well."""

    @property
    def description(self) -> dict[str, object]:
        """Columns that describe the run in a population's metadata."""
        return super().description | {
            "optimizer": self.rule,
            "initialization": self.initialization,
            "init_scale": self.init_scale,
            "fraction": self.fraction,
        }


@dataclass(frozen=True)
class CNNSearchSpace:
    """Hyper-parameters of small convolutional networks and how they are sampled.

    All networks have one architecture, that of the Small CNN Zoo [1]_: convolutions with 3 x 3
    filters, stride 2 and padding 1, a mean over all positions, and a linear layer. What is
    varied is the same as there; the ranges are made for training in few epochs.

    Parameters
    ----------
    input_shape : (int, int, int)
        Channels, height and width; a row of the task is a flattened image.
    channels : tuple of int
        Channels of the convolutions.
    activations : tuple of str
        Activation of the convolutions.
    dropout : tuple of float
        Shares of the numbers behind a convolution that are dropped in training.
    batch_sizes : tuple of int
        Rows per training step.
    learning_rate, weight_decay : tuple of (float, float)
        Bounds of a log-uniform distribution; the decay is that of L2 regularisation.
    optimizers : tuple of {"sgd", "adam", "adamw", "rmsprop", "muon"}
        Update rules; "sgd" has momentum .9, "muon" is AdamW for convolutions.
    initializations : tuple of {"uniform", "he", "glorot", "orthogonal"}
        How the first weights are drawn.
    init_scale : tuple of (float, float)
        Bounds of a log-uniform distribution of what the first weights are multiplied by.
    fractions : tuple of float
        Shares of the training rows that a run sees; those of one share see the same rows.

    References
    ----------
    .. [1] Unterthiner et al. (2020), "Predicting neural network accuracy from weights"; paper
       on neural functionals (NFN), section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.zoo import CNNSearchSpace
    >>> run = CNNSearchSpace((1, 16, 16)).sample(256, 10, np.random.default_rng(0))
    >>> run.architecture.widths, run.architecture.n_parameters
    ((1, 16, 16, 16, 10), 4970)
    """

    input_shape: tuple[int, int, int]
    channels: tuple[int, ...] = (16, 16, 16)
    activations: tuple[str, ...] = ("relu", "tanh")
    dropout: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5)
    batch_sizes: tuple[int, ...] = (32, 64)
    learning_rate: tuple[float, float] = (5e-4, 5e-2)
    weight_decay: tuple[float, float] = (1e-8, 1e-2)
    optimizers: tuple[str, ...] = ("sgd", "adam", "rmsprop")
    initializations: tuple[str, ...] = INITIALIZATIONS
    init_scale: tuple[float, float] = (0.25, 2.0)
    fractions: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)

    def __post_init__(self) -> None:
        check_choices(
            self,
            named=_NAMED,
            least={"channels": 1, "batch_sizes": 1},
            shares={"dropout": "left", "fractions": "right"},
        )
        check_bounds(self, "learning_rate", "weight_decay", "init_scale")
        # It knows which images fit which channels.
        Architecture.cnn(self.input_shape, self.channels, 1, stride=2)

    def sample(self, n_inputs: int, n_outputs: int, rng: np.random.Generator) -> Run:
        """Draw one run.

        Parameters
        ----------
        n_inputs : int
            Number of pixels of the task, channels included; ``make_zoo`` checks that it
            agrees with ``input_shape``.
        n_outputs : int
            Number of its classes.
        rng : numpy.random.Generator
            Draws it.

        Returns
        -------
        Run
            An architecture and its hyper-parameters.
        """
        architecture = Architecture.cnn(
            self.input_shape,
            self.channels,
            n_outputs,
            stride=2,
            activation=str(rng.choice(self.activations)),
            dropout=float(rng.choice(self.dropout)),
        )
        return CNNRun(
            architecture,
            batch_size=int(rng.choice(self.batch_sizes)),
            learning_rate=log_uniform(self.learning_rate, rng),
            weight_decay=log_uniform(self.weight_decay, rng),
            seed=int(rng.integers(2**62)),
            rule=str(rng.choice(self.optimizers)),
            initialization=str(rng.choice(self.initializations)),
            init_scale=log_uniform(self.init_scale, rng),
            fraction=float(rng.choice(self.fractions)),
        )
