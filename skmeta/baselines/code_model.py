"""Guess codes, such as the group, from X: for rivals that do not see the group."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets import Task


def fit_codes(model: Any, task: Task, codes: Any) -> Any:
    """Fit a scikit-learn classifier of codes on X."""
    return model.fit(task.X.astype(np.float64), codes)


def predicted_codes(model: Any, task: Task, n_codes: int) -> Tensor:
    """Probabilities of all codes, ``(n_samples, n_codes)``; 0 for those that fit has not seen."""
    shares = torch.zeros(task.n_samples, n_codes, dtype=torch.float64)
    probabilities = model.predict_proba(task.X.astype(np.float64))
    shares[:, torch.as_tensor(model.classes_)] = torch.from_numpy(probabilities)
    return shares
