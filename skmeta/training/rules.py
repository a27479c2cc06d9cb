"""The update rules by name."""

from __future__ import annotations

from typing import Any

from skmeta.training.elementwise import SGD, Adam, RMSprop
from skmeta.training.kfac import Kfac
from skmeta.training.muon import Muon
from skmeta.training.rule import Rule

RULES: dict[str, Rule[Any]] = {
    "adam": Adam(),
    "adamw": Adam(decoupled=True),
    "sgd": SGD(),
    "rmsprop": RMSprop(),
    "muon": Muon(),
    "kfac": Kfac(),
}
"""The update rules by name."""
