"""From what a user passes to requirements: names, instances, functions and lists of them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from skmeta._checks import check_in_range, check_option
from skmeta.requirements.base import Requirement
from skmeta.requirements.custom import Custom
from skmeta.requirements.group_fairness import (
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
)
from skmeta.requirements.joint import Joint
from skmeta.requirements.masks import DataMinimization, MaskRequirement, Pruning

_BY_NAME: dict[str, type[Requirement] | type[MaskRequirement]] = {
    "equalized_odds": EqualizedOdds,
    "demographic_parity": DemographicParity,
    "equal_opportunity": EqualOpportunity,
    "data_minimization": DataMinimization,
    "pruning": Pruning,
}


def resolve_requirement(requirement: Any, owner: str) -> Any:
    """Turn a name or a function into a requirement.

    Parameters
    ----------
    requirement : str, callable, Requirement or MaskRequirement
        What the user passed.
    owner : str
        Who asks, for messages.

    Returns
    -------
    Requirement or MaskRequirement
        The same object if it is one already.

    Raises
    ------
    ValueError
        If there is no requirement of that name.
    TypeError
        If it is none of these, for instance a class.
    """
    if isinstance(requirement, Requirement | MaskRequirement):
        requirement.check(owner)
        return requirement
    if isinstance(requirement, str):
        check_option("requirement", requirement, list(_BY_NAME), owner=owner)
        return _BY_NAME[requirement]()
    if callable(requirement) and not isinstance(requirement, type):
        return Custom(requirement)
    hint = f" Pass an instance, {requirement.__name__}()." if isinstance(requirement, type) else ""
    raise TypeError(
        f"The 'requirement' parameter of {owner} must be one of "
        f"{', '.join(map(repr, _BY_NAME))}, an instance of Requirement, or a function of "
        f"probabilities, labels and groups. Got {requirement!r} instead.{hint}"
    )


class Plan(NamedTuple):
    """What an editor minimises: divergence + lam * requirement + lam_mask * share kept.

    Attributes
    ----------
    requirement : Requirement or None
        On predictions; several are a :class:`Joint`.
    mask : MaskRequirement or None
        On weights.
    lam, lam_mask : float
        Weights of the two.
    """

    requirement: Requirement | None
    mask: MaskRequirement | None
    lam: float
    lam_mask: float

    @property
    def needs_sensitive(self) -> bool:
        """Whether groups are compared."""
        return self.requirement is not None and self.requirement.needs_sensitive


def split_requirements(requirement: Any, lam: Any, owner: str) -> Plan:
    """Resolve one or several requirements and their lam.

    Parameters
    ----------
    requirement : str, Requirement, MaskRequirement, callable or list of them
        At most one of them may be a mask.
    lam : float or dict of str to float
        One for all, or one per requirement by name, as in ``{"equalized_odds": 0.1}``; a
        mask with a budget needs none.
    owner : str
        Who asks, for messages.

    Returns
    -------
    Plan
        What to minimise.

    Examples
    --------
    >>> from skmeta.requirements import Pruning, split_requirements
    >>> plan = split_requirements(["equalized_odds", Pruning(budget=0.25)], 0.1, "X")
    >>> plan.requirement, plan.mask
    (EqualizedOdds(), Pruning(budget=0.25))
    """
    wanted = requirement if isinstance(requirement, list | tuple) else [requirement]
    if not wanted:
        raise ValueError(f"The 'requirement' parameter of {owner} must not be an empty list.")
    parts = [resolve_requirement(part, owner) for part in wanted]
    masks = [part for part in parts if isinstance(part, MaskRequirement)]
    others = [part for part in parts if isinstance(part, Requirement)]
    if len(masks) > 1:
        raise ValueError(
            f"The 'requirement' parameter of {owner} may hold one mask, DataMinimization or "
            f"Pruning. Got {masks}. Edit twice, one after the other, for both."
        )
    chosen = masks[0] if masks else None
    _refuse_twice(parts, lam, owner)
    lams = _lams(parts, lam, owner)
    main = max((lams[id(part)] for part in others), default=1.0)
    joined: Requirement | None = others[0] if others else None
    if len(others) > 1:
        joined = Joint(others, [lams[id(part)] / main for part in others])
    return Plan(joined, chosen, main, lams[id(chosen)] if chosen else 0.0)


def _refuse_twice(parts: list, lam: Any, owner: str) -> None:
    """Refuse two requirements of one name, which no lam tells apart; functions may share one."""
    seen = set()
    for part in parts:
        same_function = isinstance(part, Custom) and not isinstance(lam, dict)
        key = part.function if same_function else name_of(part)
        if key in seen:
            raise ValueError(
                f"The 'requirement' parameter of {owner} must name every requirement once. Got "
                f"{name_of(part)!r} twice. Give one of them a larger lam instead: lam={{...}}."
            )
        seen.add(key)


def name_of(requirement: Requirement | MaskRequirement) -> str:
    """Name a requirement as users do, in snake case."""
    if isinstance(requirement, Custom):
        return getattr(requirement.function, "__name__", "custom")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(requirement).__name__).lower()


def _lams(parts: list, lam: Any, owner: str) -> dict[int, float]:
    """Return the lam of each requirement by its identity."""
    if not isinstance(lam, dict):
        check_in_range("lam", lam, owner=owner, low=0, closed="neither")
        return {id(part): float(lam) for part in parts}
    free = [p for p in parts if isinstance(p, MaskRequirement) and p.budget is not None]
    names = {name_of(part): part for part in parts}
    needed = {name for name, part in names.items() if part not in free}
    if not needed <= set(lam) <= set(names):
        raise ValueError(
            f"The 'lam' parameter of {owner} must be a number, or a dict with the keys "
            f"{sorted(needed)}. Got the keys {sorted(map(str, lam))}."
        )
    for name, value in lam.items():
        check_in_range(f"lam[{name!r}]", value, owner=owner, low=0, closed="neither")
    return {id(part): float(lam.get(name, 1.0)) for name, part in names.items()}
