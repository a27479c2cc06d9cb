"""Classification tasks in files, with rows or without."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets.task import Task
from skmeta.files.checks import expect, fields_of
from skmeta.files.codec import Fields, register

_FIELDS: dict[str, Any] = {
    **{"X": Tensor, "y": Tensor, "sensitive": Tensor | None},
    **{"feature_names": list[str], "named": bool},
    **{"classes": np.ndarray, "groups": np.ndarray | None},
}


def _to_fields(task: Task) -> Fields:
    names = task.feature_names, task.column_names is not None, task.classes, task.groups
    return dict(zip(_FIELDS, (*task.tensors(), *names), strict=True))


def _from_fields(fields: Fields) -> Task:
    X, y, sensitive, names, named, classes, groups = fields_of(fields, "a task", **_FIELDS)
    expect(len(names) > 0, "there are no features")
    good = X.dtype == torch.float32 and X.ndim == 2 and X.shape[1] == len(names)
    expect(good and X.shape[:1] == y.shape, "the rows of the task have a wrong type or shape")
    expect(bool(X.isfinite().all()), "the rows of the task are NaN or infinite")
    columns = {"y": (y, classes, "labels")}
    expect((sensitive is None) == (groups is None), "columns of the task are missing or too many")
    if sensitive is not None:
        columns["sensitive"] = sensitive, groups, "groups"
    for name, (codes, known, what) in columns.items():
        good = len(known) > 0 and len(set(known.tolist())) == len(known)
        expect(good, f"two {what} have one name, or there are none")
        good = codes.dtype == torch.int64 and codes.shape == y.shape
        good = good and bool(((codes >= 0) & (codes < len(known))).all())
        expect(good, f"the column '{name}' of the task has a wrong type or shape")
    return Task._from_codes(
        X.numpy(),
        y.numpy(),
        None if sensitive is None else sensitive.numpy(),
        column_names=names if named else None,
        classes=classes,
        groups=groups,
    )


register(Task, _to_fields, _from_fields)
