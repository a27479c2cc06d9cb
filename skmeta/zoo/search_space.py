"""What a zoo is sampled from: :class:`MLPSearchSpace`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from skmeta.networks import ACTIVATIONS, NORMS, Architecture, Dropout, Pool, Stage
from skmeta.zoo.checks import check_bounds, check_choices


@dataclass(frozen=True)
class Run:
    """One training run of a zoo: an architecture and its hyper-parameters.

    Parameters
    ----------
    architecture : Architecture
        What is trained.
    batch_size : int
        Rows per step.
    learning_rate : float
        Of the update rule.
    weight_decay : float
        Of the update rule.
    seed : int
        Of the initial weights and of the training.
    rule : str, default="adam"
        One of ``skmeta.training.RULES``.
    initialization : str, default="uniform"
        One of ``skmeta.networks.INITIALIZATIONS``.
    init_scale : float, default=1.0
        What the initial weights are multiplied by.
    fraction : float, default=1.0
        Share of the training rows that the run sees.
    """

    architecture: Architecture
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    rule: str = "adam"
    initialization: str = "uniform"
    init_scale: float = 1.0
    fraction: float = 1.0

    def n_rows(self, n_training: int) -> int:
        """Return how many of the training rows the run sees.

        Parameters
        ----------
        n_training : int
            Number of training rows that there are.

        Returns
        -------
        int
            The run's ``fraction`` of them, rounded up.
        """
        return math.ceil(self.fraction * n_training)

    @property
    def seeds(self) -> tuple[int, int]:
        """Independent seeds of the initial weights and of the training."""
        initial, training = np.random.SeedSequence(self.seed).generate_state(2, np.uint64)
        return int(initial), int(training)

    @property
    def description(self) -> dict[str, object]:
        """Columns that describe the run in a population's metadata."""
        hidden = self.architecture.stages[:-1]
        first = hidden[0] if hidden else self.architecture.stages[0]
        return {
            "n_hidden_layers": len(hidden),
            "hidden_widths": "-".join(str(layer.width) for layer in hidden),
            "activation": first.activation,
            "norm": first.norm,
            "dropout": first.dropout,
            "n_skips": sum(len(layer.skips) for layer in hidden),
            "n_parameters": self.architecture.n_parameters,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
        }


@dataclass(frozen=True)
class MLPSearchSpace:
    """Hyper-parameters of multilayer perceptrons and how they are sampled.

    The defaults are table 2 of the paper on learned editing [1]_: depth first, then
    widths that never decrease, then dropout, activation and normalisation for the whole
    network, at most one skip connection into each hidden layer, and the training
    hyper-parameters. A source is drawn from all earlier states that are not wider.

    Parameters
    ----------
    n_hidden_layers : tuple of int
        Numbers of hidden layers.
    hidden_widths : tuple of int
        Widths of hidden layers.
    dropout : tuple of float
        Shares of hidden states that are dropped in training.
    norms : tuple of {"none", "batch", "layer"}
        Normalisation between a linear map and its activation.
    n_skips : tuple of int
        Numbers of skip connections into a hidden layer, from earlier hidden layers: an
        identity from the inputs would tie input j to neuron j beside the weights.
    activations : tuple of str
        Activation of the hidden layers.
    batch_sizes : tuple of int
        Rows per training step.
    learning_rate, weight_decay : tuple of (float, float)
        Bounds of a log-uniform distribution.
    architecture : Architecture, optional
        Use this architecture for all runs; only dropout and the training
        hyper-parameters are sampled then.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement
       compliance", table 2 and appendix A.6.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.zoo import MLPSearchSpace
    >>> run = MLPSearchSpace().sample(14, 2, np.random.default_rng(0))
    >>> run.architecture.n_inputs, run.architecture.n_outputs
    (14, 2)
    """

    n_hidden_layers: tuple[int, ...] = (1, 2, 3, 4)
    hidden_widths: tuple[int, ...] = (32, 48, 64)
    dropout: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)
    norms: tuple[str, ...] = ("batch", "layer", "none")
    n_skips: tuple[int, ...] = (0, 1)
    activations: tuple[str, ...] = ("relu", "gelu", "tanh", "sigmoid", "leaky_relu", "identity")
    batch_sizes: tuple[int, ...] = (64, 128, 256)
    learning_rate: tuple[float, float] = (1e-3, 1e-1)
    weight_decay: tuple[float, float] = (1e-6, 1e-2)
    architecture: Architecture | None = None

    def __post_init__(self) -> None:
        check_choices(
            self,
            named={"norms": NORMS, "activations": ACTIVATIONS},
            least={"n_hidden_layers": 0, "hidden_widths": 1, "n_skips": 0, "batch_sizes": 1},
            shares={"dropout": "left"},
        )
        check_bounds(self, "learning_rate", "weight_decay")
        if not isinstance(self.architecture, Architecture | None):
            raise TypeError(
                "The 'architecture' of MLPSearchSpace must be an Architecture or None. Got "
                f"{self.architecture!r}. Widths make one: Architecture.mlp((14, 64, 2))."
            )

    def sample(self, n_inputs: int, n_outputs: int, rng: np.random.Generator) -> Run:
        """Draw one run.

        Parameters
        ----------
        n_inputs : int
            Number of inputs of the task.
        n_outputs : int
            Number of its classes.
        rng : numpy.random.Generator
            Draws it.

        Returns
        -------
        Run
            An architecture and its hyper-parameters.
        """
        dropout = float(rng.choice(self.dropout))
        if self.architecture is None:
            architecture = self._sample_architecture(n_inputs, n_outputs, dropout, rng)
        else:
            *hidden, last = self.architecture.stages
            stages = (*(_with_dropout(stage, dropout) for stage in hidden), last)
            architecture = replace(self.architecture, stages=stages)
        return Run(
            architecture,
            batch_size=int(rng.choice(self.batch_sizes)),
            learning_rate=log_uniform(self.learning_rate, rng),
            weight_decay=log_uniform(self.weight_decay, rng),
            seed=int(rng.integers(2**62)),
        )

    def _sample_architecture(
        self, n_inputs: int, n_outputs: int, dropout: float, rng: np.random.Generator
    ) -> Architecture:
        widths: list[int] = []
        for _ in range(int(rng.choice(self.n_hidden_layers))):
            options = [w for w in self.hidden_widths if not widths or w >= widths[-1]]
            widths.append(int(rng.choice(options)))
        activation, norm = str(rng.choice(self.activations)), str(rng.choice(self.norms))
        layers = []
        for index, width in enumerate(widths):
            sources = np.arange(1, index + 1)
            count = min(int(rng.choice(self.n_skips)), len(sources))
            skips = tuple(int(s) for s in rng.choice(sources, count, replace=False))
            layers.append(Stage.dense(width, activation, norm=norm, skips=skips, dropout=dropout))
        return Architecture(n_inputs, (*layers, Stage.dense(n_outputs)))


def _with_dropout(stage: Stage, rate: float) -> Stage:
    """Return a stage with another dropout, in front of a pooling."""
    rest = stage.without(Dropout)
    pooled = bool(rest.tail) and isinstance(rest.tail[-1], Pool)
    place = len(rest.tail) - pooled
    return Stage(rest.mix, *rest.tail[:place], Dropout(rate), *rest.tail[place:])


def log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw a number whose logarithm is uniform between the bounds."""
    return float(np.exp(rng.uniform(*np.log(bounds))))
