"""Running populations on rows: in pieces, on whatever holds numbers, against labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta._checks import check_dense, may_be_codes, shown
from skmeta._columns import check_same_names, checked_column, frame_of, names_of
from skmeta.networks.architecture import Architecture
from skmeta.population.forward import forward
from skmeta.population.mapping import rows_at_once
from skmeta.population.stack import Stack

_FEWEST_ROWS = 32
"""Networks are split before fewer rows run at once: all weights are read for them."""


def run_stack(stack: Stack, X: Tensor) -> Tensor:
    """Run a stack on many rows in pieces and without gradients.

    Parameters
    ----------
    stack : Stack
        The networks.
    X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
        Rows for all networks, or rows of its own for each.

    Returns
    -------
    Tensor of shape (n, n_samples, n_outputs)
        Logits of classifiers, values of regressors.
    """
    n, n_rows = len(stack), rows_at_once(stack)
    if n_rows < _FEWEST_ROWS and n_rows < X.shape[-2] and n > 1:
        halves = torch.arange(n).split(-(-n // 2))
        return torch.cat([run_stack(stack.select(h), X if X.ndim == 2 else X[h]) for h in halves])
    with torch.no_grad():
        parts = X.split(n_rows, -2)
        return torch.cat([forward(stack, part) for part in parts], dim=1)


def check_columns(X: Any, feature_names: Sequence[Sequence[str] | None]) -> None:
    """Refuse a frame with other columns than networks were trained on, or in another order."""
    came, first = names_of(X), None
    for i, known in enumerate(feature_names):
        rule = f"Running a Population needs the columns that network {i} was trained on"
        check_same_names(came, known, rule=rule, where="X")
        # Networks that were trained on different columns cannot share rows, frame or not.
        way_out = "Select the networks of one task first."
        check_same_names(first, known, rule=rule, where="another network", way_out=way_out)
        first = known if first is None else first


def check_rows(
    X: Any,
    architectures: Sequence[Architecture],
    feature_names: Sequence[Sequence[str] | None],
    like: Tensor,
) -> Tensor:
    """Return rows as a tensor that networks can run on, with the device and type of ``like``."""
    inputs = sorted({a.n_inputs for a in architectures})
    outputs = sorted({a.n_outputs for a in architectures})
    if len(inputs) > 1 or len(outputs) > 1:
        raise ValueError(
            "Running a Population needs networks with the same number of inputs and of "
            f"outputs. Got {inputs} inputs and {outputs} outputs. Select the networks of "
            "one task first."
        )
    check_dense("X", X, owner="Population.forward")
    check_columns(X, feature_names)
    shape = tuple(X.shape) if isinstance(X, Tensor) else np.shape(X)
    images = {a.input_shape for a in architectures if a.input_shape is not None}
    if len(shape) == 4 and shape[1:] in images:
        X = X.flatten(1) if isinstance(X, Tensor) else np.reshape(X, (len(X), -1))
        shape = tuple(X.shape)
    if len(shape) != 2 or (inputs and shape[1] != inputs[0]):
        raise ValueError(
            f"X must have shape (n_samples, {inputs[0] if inputs else 'n_inputs'}), one "
            "column per input of the networks"
            f"{''.join(f', or be images of {image}' for image in sorted(images))}. "
            f"Got shape {shape}."
        )
    check_real(X)
    if not isinstance(X, Tensor):
        frame = frame_of(X)
        try:
            if frame is not None:  # whose missing values numpy cannot convert
                X = frame.to_numpy(dtype=np.float64, na_value=np.nan)
            # A copy: joblib hands out read-only memmaps.
            X = torch.from_numpy(np.array(X, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"X must hold numbers: {error}. Encode it as the networks' task is encoded."
            ) from error
    X = X.to(like)
    if not (finite := X.isfinite()).all():
        row, column = (~finite).nonzero()[0].tolist()
        raise ValueError(
            f"X must be finite (as {str(like.dtype).removeprefix('torch.')}). Got "
            f"{X[row, column].item()} in row {row}, column {column}. Fill in such rows, or leave "
            "them out."
        )
    return X


def check_real(X: Any) -> None:
    """Refuse dates and complex numbers, which numpy and torch would convert without a word."""
    if isinstance(X, Tensor):
        kinds = {"c" if X.is_complex() else "f"}
    else:
        frame = frame_of(X)
        dtypes = [np.asarray(X).dtype] if frame is None else list(frame.dtypes)
        kinds = {getattr(dtype, "kind", "O") for dtype in dtypes}
    names = {"M": "dates", "m": "durations", "c": "complex numbers"}
    if strange := sorted(kinds & names.keys()):
        raise ValueError(
            f"X must hold real numbers. Got {' and '.join(names[k] for k in strange)}. Encode it "
            "as the networks' task is encoded."
        )


def check_no_images(architectures: Sequence[Architecture], owner: str) -> None:
    """Refuse convolutional networks."""
    for i, architecture in enumerate(architectures):
        if architecture.input_shape is not None:
            raise ValueError(
                f"{owner} needs networks of linear layers. Network {i} has convolutions, on "
                f"images of {architecture.input_shape}. Leave it out."
            )


def check_classifiers(architectures: Sequence[Architecture], caller: str) -> bool:
    """Refuse regressors, and mixtures of kinds; say whether there are several labels per row."""
    kinds = {a.output for a in architectures}
    if "values" in kinds:
        raise ValueError(
            f"{caller} needs a Population of classifiers. Got regressors; use forward."
        )
    if len(kinds) > 1:
        raise ValueError(
            f"{caller} needs networks of one kind. Got classifiers with one and with several "
            "labels per row; select those of one kind first."
        )
    return kinds == {"multilabel"}


def check_one_label(architectures: Sequence[Architecture], caller: str) -> None:
    """Refuse all but classifiers with one label per row."""
    if check_classifiers(architectures, caller):
        raise ValueError(
            f"{caller} needs classifiers with one label per row. Got multilabel classifiers; "
            "compare the labels with predict_proba(X) > 0.5."
        )


def accuracies(outputs: Tensor, y: Any, classes: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return the share of rows that each network classifies correctly.

    Parameters
    ----------
    outputs : Tensor of shape (n, n_samples, n_classes)
        Logits.
    y : array-like of shape (n_samples,)
        Labels of the networks, or codes.
    classes : sequence of ndarray or None
        The labels of each network, where they are known.
    """
    y = checked_column("y", y, owner="Population.score")
    if y.shape != outputs.shape[1:-1]:
        raise ValueError(
            f"y must have one label per row of X ({outputs.shape[1]}). Got shape {y.shape}."
        )
    # NaN is no class: argmax would give the first.
    predicted = outputs.argmax(-1).where(outputs.isfinite().all(-1), -1).cpu().numpy()
    codes = {labels: _codes(y.tolist(), labels, outputs.shape[-1]) for labels in _distinct(classes)}
    if len({tuple(code) for code in codes.values()}) > 1:
        raise ValueError(
            "The 'y' of Population.score must mean the same for all networks. Got networks with "
            f"the classes {[None if labels is None else list(labels) for labels in codes]}, for "
            "which it means different outputs. Score networks of one kind at a time."
        )
    code = next(iter(codes.values()), np.empty(len(y)))
    return np.mean(predicted == code, axis=1)


def _distinct(classes: Sequence[np.ndarray | None]) -> list[tuple[Any, ...] | None]:
    """Return the different sets of labels, in order of appearance."""
    return list(dict.fromkeys(None if c is None else tuple(c.tolist()) for c in classes))


def _codes(y: list[Any], classes: tuple[Any, ...] | None, n_classes: int) -> np.ndarray:
    """Return labels as codes; they are those of a network, or codes where none is known."""
    given, known, numbers = set(y), classes or (), tuple(range(n_classes))
    if given <= set(known):
        return np.array([known.index(label) for label in y], dtype=np.int64)
    if given <= set(numbers) and given.isdisjoint(known) and may_be_codes(known):
        return np.array(y, dtype=np.int64)
    allowed = {"the labels": list(known)} if known else {}
    if may_be_codes(known):
        allowed["the codes"] = list(numbers)
    strange = given.difference(*allowed.values()) or given
    raise ValueError(
        "The 'y' of Population.score must hold "
        f"{' or '.join(f'{name} {shown(labels)}' for name, labels in allowed.items())}. Got "
        f"{_some(strange)} among {_some(given)}. Pass the labels that the networks were fitted on."
    )


def _some(labels: set[Any]) -> str:
    listed = sorted(labels, key=str)
    return f"{shown(listed[:10])}{'...' * (len(listed) > 10)}"
