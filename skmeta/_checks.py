"""Checks that every floor shares. An error names the parameter, the rule, what came, the way out.

Nothing here imports from skmeta.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array


def shown(value: Any) -> str:
    """Return the repr of a value for a message, with numpy's scalars as Python's.

    Examples
    --------
    >>> import numpy as np
    >>> shown((np.int64(1), np.str_("a")))
    "(1, 'a')"
    """
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple, set):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def check_dense(name: str, value: Any, *, owner: str) -> None:
    """Raise if a table is a sparse matrix.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> check_dense("X", csr_matrix((2, 3)), owner="Task")
    Traceback (most recent call last):
        ...
    TypeError: The 'X' parameter of Task must be dense: networks have a weight for every column.
    Got a sparse csr_matrix of shape (2, 3) instead. Pass X.toarray().
    """
    if issparse(value):
        raise TypeError(
            f"The '{name}' parameter of {owner} must be dense: networks have a weight for every "
            f"column. Got a sparse {type(value).__name__} of shape {value.shape} instead. Pass "
            f"{name}.toarray()."
        )


def check_in_range(
    name: str,
    value: Any,
    *,
    owner: str,
    low: float | None = None,
    high: float | None = None,
    kind: Literal["int", "float"] = "float",
    closed: Literal["both", "left", "right", "neither"] = "both",
) -> Any:
    """Return `value` if it is a number of `kind` between `low` and `high`, else raise.

    Parameters
    ----------
    name, owner : str
        The parameter and the class or function that it belongs to, for the message.
    value : object
        What the user passed.
    low, high : float or None
        The bounds; None is unbounded.
    kind : {"int", "float"}
        An int is a valid float, a bool is neither.
    closed : {"both", "left", "right", "neither"}
        Which bounds belong to the range.

    Examples
    --------
    >>> check_in_range("lam", -1, owner="ComplianceEditor", low=0)
    Traceback (most recent call last):
        ...
    ValueError: The 'lam' parameter of ComplianceEditor must be a float in the range [0, inf).
    Got -1 instead.
    """
    opening = "[" if low is not None and closed in ("both", "left") else "("
    closing = "]" if high is not None and closed in ("both", "right") else ")"
    lowest, highest = (-np.inf if low is None else low), (np.inf if high is None else high)
    article = "an" if kind == "int" else "a"
    message = (
        f"The '{name}' parameter of {owner} must be {article} {kind} in the range "
        f"{opening}{lowest}, {highest}{closing}. Got {shown(value)} instead."
    )
    if not isinstance(value, Integral if kind == "int" else Real) or isinstance(value, bool):
        raise TypeError(message)
    number = float(value)
    above = number >= lowest if opening == "[" else number > lowest
    below = number <= highest if closing == "]" else number < highest
    if not (above and below):  # NaN fails both
        raise ValueError(message)
    return value


def check_option(name: str, value: Any, options: Iterable[Any], *, owner: str) -> Any:
    """Return `value` if it is one of `options`, else raise and suggest the nearest one.

    Examples
    --------
    >>> check_option("metanet", "grahp", ["graph", "neuron"], owner="ComplianceEditor")
    Traceback (most recent call last):
        ...
    ValueError: The 'metanet' parameter of ComplianceEditor must be one of 'graph', 'neuron'.
    Got 'grahp' instead. Did you mean 'graph'?
    """
    options = list(options)
    if value in options:
        return value
    names = {str(option): option for option in options}
    near = get_close_matches(str(value), names, n=1)
    hint = f" Did you mean {shown(names[near[0]])}?" if near else ""
    raise ValueError(
        f"The '{name}' parameter of {owner} must be one of {', '.join(map(shown, options))}. "
        f"Got {shown(value)} instead.{hint}"
    )


def check_rng(random_state: Any) -> np.random.Generator:
    """Turn `random_state` into a numpy Generator without touching the global one.

    None draws fresh entropy; a RandomState or Generator that is passed in moves on.
    """
    try:
        if isinstance(random_state, np.random.RandomState):
            random_state = random_state.randint(2**31 - 1)
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The 'random_state' parameter must be None, an int >= 0 or a numpy RandomState or "
            f"Generator. Got {shown(random_state)} instead. Pass an int for repeatable results."
        ) from error


def check_generator(random_state: Any, device: Any = "cpu") -> torch.Generator:
    """Turn `random_state` into a local torch.Generator; what it may be: see `check_rng`.

    Examples
    --------
    >>> import torch
    >>> draws = [torch.rand(1, generator=check_generator(0)).item() for _ in range(2)]
    >>> draws[0] == draws[1]
    True
    """
    seed = check_rng(random_state).integers(2**63 - 1)
    return torch.Generator(device).manual_seed(int(seed))


def params_now(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the parameters of an estimator and of those within it, one by one.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> params_now(make_pipeline(Ridge(alpha=2.0)))["steps__0__1__alpha"]
    2.0
    """
    found: dict[str, Any] = {}

    def walk(name: str, value: Any) -> None:
        if hasattr(value, "get_params") and not isinstance(value, type):
            parts, value = value.get_params(deep=False), type(value)
        elif isinstance(value, dict):
            parts, value = value, dict
        elif isinstance(value, list | tuple):
            parts, value = dict(enumerate(value)), len(value)
        else:
            parts = {}
        found[name] = value
        for part, inner in parts.items():
            walk(f"{name}__{part}", inner)

    for name, value in estimator.get_params(deep=False).items():
        walk(name, value)
    return found


def check_unchanged(
    estimator: BaseEstimator,
    method: str,
    names: Iterable[str] | None = None,
    *,
    obeyed: Iterable[str] = (),
) -> None:
    """Raise if a parameter says something else than in ``fit``, where ``method`` needs that.

    Parameters
    ----------
    estimator : estimator
        Its ``fit`` has kept :func:`params_now` in the attribute ``_params_of_fit``.
    method : str
        What was called, for the message.
    names : iterable of str, optional
        Parameters that were used in ``fit``; the default is all.
    obeyed : iterable of str
        Of these, those that ``method`` reads anew, on any level.
    """
    before, now = vars(estimator)["_params_of_fit"], params_now(estimator)
    wanted, free = (None if names is None else set(names)), set(obeyed)
    for path in dict.fromkeys([*before, *now]):
        levels = path.split("__")
        if free & set(levels) or (wanted is not None and levels[0] not in wanted):
            continue
        if not _same(before.get(path), now.get(path)):
            owner = type(estimator).__name__
            raise ValueError(
                f"The '{levels[0]}' parameter of {owner} was changed after fit, and {method} goes "
                f"by what was learned with it. Got {shown(now.get(path))} for {path!r}, which was "
                f"{shown(before.get(path))} in fit. Set them back, or fit again."
            )


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return bool(np.all(a == b)) and np.shape(a) == np.shape(b)
    except (TypeError, ValueError):  # kinds that do not compare
        return False


def check_verbose(verbose: Any, owner: str) -> None:
    """Raise unless it is a level, or True or False."""
    level = int(verbose) if isinstance(verbose, bool | np.bool_) else verbose
    check_in_range("verbose", level, owner=owner, low=0, kind="int")


def check_weights(sample_weight: Any, n_samples: int, owner: str) -> np.ndarray | None:
    """Return one weight of at least 0 for each sample, not all of them 0; None for None."""
    if sample_weight is None:
        return None
    weights = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    came = None
    if weights.shape != (n_samples,):
        came = f"shape {weights.shape}"
    elif weights.min() < 0:
        came = f"{weights.min():g}"
    elif not weights.any():
        came = "weights that are all zero"
    if came is not None:
        raise ValueError(
            f"The 'sample_weight' parameter of {owner}.fit must be one weight of at least 0 for "
            f"each of the {n_samples} samples, some of them positive. Got {came}."
        )
    return weights


def check_n_jobs(n_jobs: Any, owner: str) -> None:
    """Raise unless joblib takes it.

    Examples
    --------
    >>> check_n_jobs(0, owner="make_zoo")
    Traceback (most recent call last):
        ...
    TypeError: The 'n_jobs' parameter of make_zoo must be None or a whole number other than 0, -1
    for all cores. Got 0 instead.
    """
    if n_jobs is not None and (not isinstance(n_jobs, Integral) or not n_jobs):
        raise TypeError(
            f"The 'n_jobs' parameter of {owner} must be None or a whole number other than 0, "
            f"-1 for all cores. Got {shown(n_jobs)} instead."
        )


def check_device(device: Any, owner: str) -> torch.device:
    """Return the device if tensors can live there."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"The 'device' parameter of {owner} must be a torch device of this machine, for "
            f"instance 'cpu'. Got {device!r} instead."
        ) from error


def may_be_codes(classes: Iterable[Any]) -> bool:
    """Whether numbers can be codes of these classes: not if they may be labels nobody knows.

    Examples
    --------
    >>> may_be_codes(["no", "yes"]), may_be_codes([1, 2])
    (True, False)
    """
    return not any(isinstance(label, Real) for label in classes)
