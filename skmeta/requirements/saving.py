"""Requirements in files."""

from __future__ import annotations

import functools
import inspect
from numbers import Real
from typing import Any

import numpy as np

from skmeta.files.checks import expect
from skmeta.files.codec import Fields, register
from skmeta.requirements.base import Requirement
from skmeta.requirements.group_fairness import DemographicParity, EqualizedOdds, EqualOpportunity
from skmeta.requirements.joint import Joint
from skmeta.requirements.masks import DataMinimization, Pruning
from skmeta.requirements.teacher import FairTeacher

REQUIREMENTS: tuple[type, ...] = (
    *(EqualizedOdds, DemographicParity, EqualOpportunity, Joint),
    *(DataMinimization, Pruning),
)
"""Requirements that a file may hold; others are code."""

_MAX_ITEMS = 1000


def _params(requirement: Any) -> Fields:
    return requirement.get_params(deep=False)


def _requirement(kind: type, params: Fields) -> Any:
    known = set(inspect.signature(kind).parameters)
    expect(set(params) == known, f"these are no parameters of {kind.__name__}")
    for key in known & {"thresholds", "requirements", "weights"}:
        value = params[key]
        good = isinstance(value, tuple | list | np.ndarray) and len(value) <= _MAX_ITEMS
        expect(good, f"the {key} of {kind.__name__} are no short list")
    if kind is Joint:
        parts, weights = params["requirements"], params["weights"]
        good = all(isinstance(part, Requirement) for part in parts) and len(parts) == len(weights)
        good = good and all(isinstance(weight, Real) for weight in weights)
        expect(good and len(parts) > 0, "a Joint does not fit together")
    return kind(**params)


_MOST_TREES, _MOST_FOLDS = 5000, 100
"""What a file may ask of a teacher that is fitted anew."""


def _teacher(params: Fields) -> FairTeacher:
    expect(set(params) == set(FairTeacher().get_params()), "these are no parameters of FairTeacher")
    requirement, seed = params["requirement"], params["random_state"]
    known = isinstance(requirement, str | Requirement) and isinstance(seed, int | None)
    expect(known, "a FairTeacher does not fit together")
    for key in set(params) - {"requirement", "random_state"}:
        expect(isinstance(params[key], Real), f"the {key} of FairTeacher is no number")
    few = params["max_iter"] <= _MOST_TREES and params["n_folds"] <= _MOST_FOLDS
    expect(few, "a FairTeacher asks for too many trees")
    return FairTeacher(**params)


register(FairTeacher, _params, _teacher)
for _kind in REQUIREMENTS:
    register(_kind, _params, functools.partial(_requirement, _kind))
