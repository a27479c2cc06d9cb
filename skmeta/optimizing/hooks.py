"""Hooks on live modules that copies and pickles of the modules go without: :class:`Hook`."""

from __future__ import annotations

import weakref
from typing import Any

from torch import nn


class Hook:
    """Calls a method of somebody, as long as there is somebody.

    A copy of a module has its hooks, too; in a copy, in a pickle, and when their owner is gone,
    these do nothing.

    Parameters
    ----------
    owner : object or None
        Whose method is called.
    method : str
        Its name.
    """

    def __init__(self, owner: Any, method: str) -> None:
        self._owner = None if owner is None else weakref.ref(owner)
        self.method = method

    @property
    def owner(self) -> Any:
        """Who is called; None if nobody."""
        return None if self._owner is None else self._owner()

    def __call__(self, *args: Any) -> None:
        """Call the method."""
        if (owner := self.owner) is not None:
            getattr(owner, self.method)(*args)

    def __deepcopy__(self, memo: dict) -> Hook:
        return Hook(None, self.method)

    def __reduce__(self) -> tuple:
        return Hook, (None, self.method)


def owners_at(module: nn.Module, kind: type) -> list[Any]:
    """Return those of a class whose hooks are called before the forward pass of a module."""
    hooks = module._forward_pre_hooks.values()
    found = [hook.owner for hook in hooks if isinstance(hook, Hook)]
    return [owner for owner in found if isinstance(owner, kind)]
