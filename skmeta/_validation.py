"""Checks that every floor shares. An error names the parameter, the rule, what came, the way out.

Nothing here imports from skmeta.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch


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
        f"{opening}{lowest}, {highest}{closing}. Got {value!r} instead."
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
    hint = f" Did you mean {names[near[0]]!r}?" if near else ""
    raise ValueError(
        f"The '{name}' parameter of {owner} must be one of {', '.join(map(repr, options))}. "
        f"Got {value!r} instead.{hint}"
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
            f"Generator. Got {random_state!r} instead. Pass an int for repeatable results."
        ) from error


def check_generator(random_state: Any) -> torch.Generator:
    """Turn `random_state` into a local torch.Generator; what it may be: see `check_rng`.

    Examples
    --------
    >>> import torch
    >>> draws = [torch.rand(1, generator=check_generator(0)).item() for _ in range(2)]
    >>> draws[0] == draws[1]
    True
    """
    seed = check_rng(random_state).integers(2**63 - 1)
    return torch.Generator().manual_seed(int(seed))


def may_be_codes(classes: Iterable[Any]) -> bool:
    """Whether numbers can be codes of these classes: not if they may be labels nobody knows.

    Examples
    --------
    >>> may_be_codes(["no", "yes"]), may_be_codes([1, 2])
    (True, False)
    """
    return not any(isinstance(label, Real) for label in classes)
