"""Checks of parameters, training and edits that estimators share."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch

from skmeta.population import Parameters


def check_device(device: Any, owner: str) -> torch.device:
    """Return the device if tensors can live there."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"The 'device' parameter of {owner} must be a torch device of this machine, for "
            f"instance 'cpu'. Got {device!r} instead."
        ) from error


def check_lam_range(lam_range: Any, lam: float, owner: str) -> tuple[float, float]:
    """Return the ends of a range of lam that contains the default lam."""
    message = (
        f"The 'lam_range' parameter of {owner} must be two positive numbers in ascending "
        f"order, (low, high). Got {lam_range!r} instead."
    )
    if not isinstance(lam_range, tuple | list) or len(lam_range) != 2:
        raise TypeError(message)
    for end in lam_range:
        if not isinstance(end, Real):
            raise TypeError(message)
    low, high = map(float, lam_range)
    if not 0 < low <= high < np.inf:
        raise ValueError(message)
    if not low <= lam <= high:
        raise ValueError(
            f"The 'lam' parameter of {owner} must lie in 'lam_range' [{low:g}, {high:g}]: it is "
            f"the default of transform. Got {lam:g} instead."
        )
    return low, high


def check_finite_training(metanet: torch.nn.Module) -> None:
    """Refuse a metanetwork that diverged in training."""
    if not all(p.isfinite().all() for p in metanet.parameters()):
        raise ValueError(
            "The training of the metanetwork diverged: its weights are not finite. Lower 'lr', "
            "or leave out networks with extreme weights."
        )


def check_finite_edits(params: Parameters, positions: np.ndarray) -> None:
    """Refuse edits that are not numbers, before anything is written."""
    finite = torch.stack([t.isfinite().flatten(1).all(1) for t in params.tensors()]).all(0)
    bad = np.asarray(positions)[~finite.cpu().numpy()]
    if len(bad):
        raise ValueError(
            f"The edit of network {bad[0]} is not finite, probably because its weights are far "
            "from those of the population that the editor was fitted on. Leave it out."
        )
