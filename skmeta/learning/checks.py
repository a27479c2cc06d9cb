"""Checks of the parameters and the results of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from skmeta._checks import check_in_range


def check_training_params(estimator: Any) -> None:
    """Check the parameters that all estimators with a metanetwork have."""
    owner = type(estimator).__name__
    for name in ("hidden_channels", "n_layers", "max_epochs", "batch_size"):
        check_in_range(name, getattr(estimator, name), owner=owner, low=1, kind="int")
    check_in_range("lr", estimator.lr, owner=owner, low=0, closed="neither")
    check_verbose(estimator.verbose, owner)
    callbacks = estimator.callbacks
    good = isinstance(callbacks, list | None) and all(map(_is_callback, callbacks or []))
    if not good:
        raise TypeError(
            f"The 'callbacks' parameter of {owner} must be a list of skorch callbacks, such as "
            f"[EarlyStopping()] or [('name', EarlyStopping())]. Got {callbacks!r} instead."
        )


def check_verbose(verbose: Any, owner: str) -> None:
    """Raise unless it is a level, or True or False."""
    level = int(verbose) if isinstance(verbose, bool | np.bool_) else verbose
    check_in_range("verbose", level, owner=owner, low=0, kind="int")


def _is_callback(value: Any) -> bool:
    """Whether it is what skorch takes: a callback or its class, maybe with a name."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return isinstance(value, Callback) or (isinstance(value, type) and issubclass(value, Callback))


def check_finite_training(metanet: torch.nn.Module) -> None:
    """Refuse a metanetwork that diverged in training."""
    if not all(p.isfinite().all() for p in metanet.parameters()):
        raise ValueError(
            "The training of the metanetwork diverged: its weights are not finite. Lower 'lr', "
            "or leave out networks with extreme weights."
        )
