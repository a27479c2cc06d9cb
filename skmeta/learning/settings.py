"""How a metanetwork is trained: :class:`TrainingSettings`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from sklearn.base import BaseEstimator
from skorch import NeuralNet
from skorch.callbacks import Callback

from skmeta._checks import check_device, check_in_range, check_verbose, shown


@dataclass(frozen=True)
class TrainingSettings:
    """The parameters that all estimators with a metanetwork share, checked.

    Parameters
    ----------
    owner : str
        Whose they are, for messages and progress bars.
    net : NeuralNet or None
        Template that is used in place of the other settings, but for the device.
    max_epochs : int
        Passes over the networks.
    lr : float
        Peak learning rate of AdamW; a cosine takes it to zero.
    batch_size : int
        Networks per step.
    callbacks : list or None
        Further skorch callbacks.
    verbose : int
        1 shows a progress bar, 2 skorch's table of losses.
    device : torch.device
        Where to compute.

    Examples
    --------
    >>> from skmeta import WeightSpaceRegressor
    >>> from skmeta.learning import TrainingSettings
    >>> TrainingSettings.of(WeightSpaceRegressor(max_epochs=3)).max_epochs
    3
    """

    owner: str
    net: NeuralNet | None
    max_epochs: int
    lr: float
    batch_size: int
    callbacks: list | None
    verbose: int
    device: torch.device

    @classmethod
    def of(cls, estimator: BaseEstimator) -> TrainingSettings:
        """Return the settings of an estimator that has them as parameters.

        Parameters
        ----------
        estimator : BaseEstimator
            For instance a reader.

        Returns
        -------
        TrainingSettings
            Checked, for all that trains with them.

        Raises
        ------
        TypeError, ValueError
            If one is wrong, or was changed beside a ``net`` that would override it.
        """
        names = [field.name for field in fields(cls) if field.name != "owner"]
        owner, given = type(estimator).__name__, estimator.get_params(deep=False)
        given["device"] = check_device(given["device"], owner)
        settings = cls(owner, **{name: given[name] for name in names})
        if settings.net is not None:
            default = type(estimator)().get_params(deep=False)
            settings._refuse_beside_net({n: default[n] for n in names if n not in _BESIDE_NET})
        return settings

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size"):
            check_in_range(name, getattr(self, name), owner=self.owner, low=1, kind="int")
        check_in_range("lr", self.lr, owner=self.owner, low=0, closed="neither")
        check_verbose(self.verbose, self.owner)
        good = isinstance(self.callbacks, list | None)
        if not good or not all(map(_is_callback, self.callbacks or [])):
            raise TypeError(
                f"The 'callbacks' parameter of {self.owner} must be a list of skorch callbacks, "
                "such as [EarlyStopping()] or [('name', EarlyStopping())]. Got "
                f"{self.callbacks!r} instead."
            )
        if not isinstance(self.net, NeuralNet | None):
            raise TypeError(
                f"The 'net' parameter of {self.owner} must be a skorch.NeuralNet. Got "
                f"{type(self.net).__name__} instead."
            )

    def _refuse_beside_net(self, default: dict[str, Any]) -> None:
        for name, value in default.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"The '{name}' parameter of {self.owner} must be left at {shown(value)} if "
                    f"there is a 'net', which has settings of its own. Got "
                    f"{shown(getattr(self, name))}. Set it in the net, or leave the net out."
                )


_BESIDE_NET = ("net", "device")


def _is_callback(value: Any) -> bool:
    """Whether it is what skorch takes: a callback or its class, maybe with a name."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return isinstance(value, Callback) or (isinstance(value, type) and issubclass(value, Callback))
