"""How far the training of a module has come: :class:`Course`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten


@dataclass
class Course:
    """How far the training of a module has come.

    Attributes
    ----------
    layers : list of str
        Weights of linear layers that the rule treats as matrices.
    n_steps : int
        How many were taken.
    last, average : Tensor of shape (1, n_parameters)
        Weights behind the last step, and their running mean.
    rule : tuple
        State of the rule.
    """

    layers: list[str]
    n_steps: int
    last: Tensor
    average: Tensor
    rule: Any

    def described(self) -> dict[str, Any]:
        """Return plain values and tensors, which are shared."""
        leaves, _ = tree_flatten(self.rule)
        return {**vars(self), "rule": leaves}

    def resumed(self, described: dict[str, Any], owner: str) -> Course:
        """Return the one that was described, in tensors of its own.

        Parameters
        ----------
        described : dict
            From :meth:`described` of one of the same module; this one has its layers, and takes no
            part otherwise.
        owner : str
            Whose state it is, for messages.

        Returns
        -------
        Course
        """

        def taken(ours: Any, theirs: Any) -> Any:
            if not isinstance(ours, Tensor):
                return theirs
            if ours.shape != theirs.shape:
                raise ValueError(
                    f"The state is one of another {owner}: it has a tensor of shape "
                    f"{tuple(theirs.shape)}, where one of {tuple(ours.shape)} was expected."
                )
            return theirs.to(ours, copy=True)

        leaves, structure = tree_flatten(self.rule)
        found = [taken(*pair) for pair in zip(leaves, described["rule"], strict=True)]
        return replace(
            self,
            n_steps=described["n_steps"],
            last=taken(self.last, described["last"]),
            average=taken(self.average, described["average"]),
            rule=tree_unflatten(found, structure),
        )
