"""The task of a network: features, labels and sensitive features, held together."""

import copy
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from skmeta._checks import check_in_range, check_rng
from skmeta._columns import check_same_names, names_of
from skmeta.datasets._coding import check_features, encode_groups, encode_target
from skmeta.datasets.losses import CrossEntropy, Loss, SquaredError


class Task:
    """The data that networks were trained on or are measured on.

    A task is opaque on purpose: it has no length, no shape and no indexing, because
    scikit-learn cuts whatever has a length into the folds of the *networks*. `clone`
    returns the task itself.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Finite numbers; frames may be of pandas, polars or Arrow, as may the columns below. The
        names of a frame's columns are kept, and compared wherever the task meets networks,
        frames or tasks that have names, too.
    y : array-like of shape (n_samples,)
        Integers, strings or booleans are labels, floating-point numbers a regression target.
        Nullable columns are what they hold; a float target of two values warns.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), optional
        The groups. Several columns make intersectional groups, those that occur in the data.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features), float32
    y : ndarray of shape (n_samples,)
        int64 codes, which index `classes`; in a regression task the float32 targets.
    sensitive : ndarray of shape (n_samples,), int64, or None
        Codes, which index `groups`.
    kind : {"classification", "regression"}
    classes : ndarray or None
        The original labels; None in a regression task.
    groups : ndarray or None
        The original groups; those of several columns are joined, as in "Female, Black", with
        quotes around texts where two would look alike.
    column_names : list of str or None
        The names of the columns of X; None if it had none, as an array.
    feature_names : list of str
        Those, or `x0`, `x1`, ... in their place.
    encoder : transformer or None
        What :func:`split_tasks` fitted to make X of a raw table; else None.
    n_samples, n_features, n_classes, n_groups : int
        `n_classes` is 0 in a regression task, `n_groups` is 1 without sensitive features.

    See Also
    --------
    split_tasks : Three tasks from a raw table, encoded and standardised.

    Examples
    --------
    >>> from skmeta.datasets import Task
    >>> task = Task([[0.0, 1.0], [2.0, 3.0]], ["no", "yes"], sensitive_features=["f", "m"])
    >>> task
    Task(n_samples=2, n_features=2, classes=['no', 'yes'], groups=['f', 'm'])
    >>> task.y
    array([0, 1])
    """

    def __init__(
        self, X: ArrayLike, y: ArrayLike, *, sensitive_features: ArrayLike | None = None
    ) -> None:
        self.X = check_features(X)
        self.column_names = names_of(X)
        self.encoder: Any = None
        self.kind: Literal["classification", "regression"]
        self.classes: NDArray[Any] | None
        self.kind, self.y, self.classes = encode_target(y, len(self.X))
        self.sensitive: NDArray[np.int64] | None = None
        self.groups: NDArray[Any] | None = None
        if sensitive_features is not None:
            self.sensitive, self.groups = encode_groups(sensitive_features, len(self.X))
        self._tensors: dict[Any, tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]] = {}

    @classmethod
    def _from_codes(
        cls,
        X: NDArray[np.float32],
        y: NDArray[np.int64],
        sensitive: NDArray[np.int64] | None,
        *,
        column_names: list[str] | None,
        classes: NDArray[Any],
        groups: NDArray[Any] | None,
    ) -> "Task":
        """Put a classification task together from its attributes, which are not checked."""
        task = cls.__new__(cls)
        task.kind, task.X, task.y, task.sensitive = "classification", X, y, sensitive
        task.column_names, task.classes, task.groups = column_names, classes, groups
        task.encoder, task._tensors = None, {}
        return task

    @property
    def feature_names(self) -> list[str]:
        """Names of the columns of X, made up where it had none."""
        if self.column_names is None:
            return [f"x{i}" for i in range(self.n_features)]
        return self.column_names

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.X.shape[0]

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return self.X.shape[1]

    @property
    def n_classes(self) -> int:
        """Number of labels, 0 in a regression task."""
        return 0 if self.classes is None else len(self.classes)

    @property
    def n_groups(self) -> int:
        """Number of groups, 1 without sensitive features."""
        return 1 if self.groups is None else len(self.groups)

    def tensors(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Give the data as torch tensors, made once per device and dtype.

        Parameters
        ----------
        device : str or torch.device
            Where the tensors live.
        dtype : torch.dtype
            The dtype of X and of a regression target.

        Returns
        -------
        X : tensor of shape (n_samples, n_features)
        y : tensor of shape (n_samples,)
            int64 codes, or targets of `dtype`.
        sensitive : int64 tensor of shape (n_samples,) or None

        Examples
        --------
        >>> from skmeta.datasets import Task
        >>> X, y, s = Task([[0.0], [1.0]], ["no", "yes"]).tensors()
        >>> y
        tensor([0, 1])
        """
        key = (torch.device(device), dtype)
        if key not in self._tensors:
            y_dtype = torch.int64 if self.kind == "classification" else dtype
            # torch.tensor copies: in a loky worker the arrays are read-only memory maps.
            with torch.inference_mode(False):  # kept for calls in other modes
                X = torch.tensor(self.X, dtype=dtype, device=device)
                y = torch.tensor(self.y, dtype=y_dtype, device=device)
                s = None if self.sensitive is None else torch.tensor(self.sensitive, device=device)
            self._tensors[key] = (X, y, s)
        return self._tensors[key]

    def loss(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Loss:
        """Give the loss of networks on the rows: how far their outputs are from y.

        Parameters
        ----------
        device : str or torch.device
            Where the outputs are.
        dtype : torch.dtype
            Of a regression target.

        Returns
        -------
        Loss
            ``loss(outputs, rows) -> (n,)``: cross-entropy of logits, or in a regression task
            the mean squared error.

        Examples
        --------
        >>> import torch
        >>> from skmeta.datasets import Task
        >>> loss = Task([[0.0], [1.0]], [0.5, 1.0]).loss()
        >>> loss(torch.zeros(1, 2, 1), torch.tensor([[0, 1]]))
        tensor([0.6250])
        """
        y = self.tensors(device, dtype)[1]
        return CrossEntropy(y) if self.kind == "classification" else SquaredError(y)

    def cells(self) -> NDArray[np.int64]:
        """Number the label-by-group cell of each row: ``y * n_groups + sensitive``.

        Without sensitive features the cells are the labels, and in a regression task, which
        has no labels, they are the groups.

        Returns
        -------
        ndarray of shape (n_samples,), int64

        Examples
        --------
        >>> from skmeta.datasets import Task
        >>> Task([[0.0], [1.0]], [0, 1], sensitive_features=["f", "m"]).cells()
        array([0, 3])
        """
        nothing = np.zeros(self.n_samples, np.int64)
        labels = self.y if self.kind == "classification" else nothing
        groups = nothing if self.sensitive is None else self.sensitive
        return labels * self.n_groups + groups

    def subset(self, indices: ArrayLike) -> "Task":
        """Take some rows; the codes of labels and groups keep their meaning.

        Parameters
        ----------
        indices : array-like of int or bool
            The rows, as in numpy indexing.

        Returns
        -------
        Task

        Examples
        --------
        >>> from skmeta.datasets import Task
        >>> Task([[0.0], [1.0]], ["no", "yes"]).subset([1]).y
        array([1])
        """
        rows = np.asarray(indices)
        part = copy.copy(self)
        part.X, part.y = self.X[rows], self.y[rows]
        part.sensitive = None if self.sensitive is None else self.sensitive[rows]
        return part

    def stratified_sample(self, n_per_cell: int, random_state: Any = None) -> NDArray[np.int64]:
        """Draw up to `n_per_cell` rows of each label-by-group cell, without replacement.

        Parameters
        ----------
        n_per_cell : int
            A smaller cell is taken whole.
        random_state : None, int or numpy RandomState or Generator
            Seeds the draw.

        Returns
        -------
        ndarray of int64
            The indices of the rows, sorted.

        Examples
        --------
        >>> from skmeta.datasets import Task
        >>> task = Task([[0.0], [1.0], [2.0]], ["no", "no", "yes"])
        >>> len(task.stratified_sample(1, random_state=0))
        2
        """
        owner = "Task.stratified_sample"
        check_in_range("n_per_cell", n_per_cell, owner=owner, low=1, kind="int")
        order = check_rng(random_state).permutation(self.n_samples)
        rank = pd.Series(order).groupby(self.cells()[order]).cumcount().to_numpy()
        return np.sort(order[rank < n_per_cell])

    def require_sensitive(self, owner: str) -> None:
        """Raise unless there are sensitive features with at least two groups.

        Parameters
        ----------
        owner : str
            Who needs them, for the message.

        Examples
        --------
        >>> from skmeta.datasets import Task
        >>> Task([[0.0]], [0]).require_sensitive("ComplianceEditor")
        Traceback (most recent call last):
            ...
        ValueError: The 'task' parameter of ComplianceEditor must have sensitive features with at
        least two groups. Got a task without sensitive features instead. Pass
        Task(X, y, sensitive_features=...).
        """
        present = None if self.sensitive is None else np.unique(self.sensitive)
        if present is not None and len(present) >= 2:
            return
        came, way_out = "a task without sensitive features", "Pass"
        if present is not None and self.groups is not None:
            came = f"a task with the group(s) {self.groups[present].tolist()} only"
            way_out = "Pass rows of every group as"
        raise ValueError(
            f"The 'task' parameter of {owner} must have sensitive features with at least two "
            f"groups. Got {came} instead. {way_out} Task(X, y, sensitive_features=...)."
        )

    def require_columns(self, names: Sequence[str] | None, owner: str, whose: str) -> None:
        """Raise if the columns of X are known to be others, or in another order.

        Parameters
        ----------
        names : sequence of str or None
            The columns that there must be; None if nobody knows.
        owner, whose : str
            Who needs the task, and whose columns these are, for the message.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmeta.datasets import Task
        >>> task = Task(pd.DataFrame({"b": [0.0], "a": [1.0]}), [0])
        >>> task.require_columns(None, "report", "network 0")
        >>> task.require_columns(["a", "b"], "report", "network 0")
        Traceback (most recent call last):
            ...
        ValueError: The 'task' parameter of report must have the columns of network 0, in their
        order. Got the same ones in another order in the task: 'b', 'a' instead of 'a', 'b'. Select
        them by name, as in frame[['a', 'b']].
        """
        rule = f"The 'task' parameter of {owner} must have the columns of {whose}"
        check_same_names(self.column_names, names, rule=rule, where="the task")

    def __sklearn_clone__(self) -> "Task":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tensors": {}}  # neither a pickle nor a subset shares the cache

    def __repr__(self) -> str:
        parts = [f"n_samples={self.n_samples}", f"n_features={self.n_features}"]
        parts.append("regression" if self.classes is None else f"classes={self.classes.tolist()}")
        if self.groups is not None:
            parts.append(f"groups={self.groups.tolist()}")
        return f"Task({', '.join(parts)})"
