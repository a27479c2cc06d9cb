"""Requirements that compare the rates of groups: :class:`GroupFairness` and its kinds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence

from torch import Tensor

from skmeta._checks import check_in_range, shown
from skmeta.datasets import Cells
from skmeta.requirements.base import Requirement
from skmeta.requirements.rates import (
    THRESHOLDS,
    cell_rates,
    hard_predictions,
    mean_over_thresholds,
    range_over,
    soft_predictions,
    straight_through,
)


class GroupFairness(Requirement):
    """The largest difference between two groups in some rate of the predictions.

    The measure counts predicted classes. The violation replaces them by straight-through
    ones: hard forward, a softmax with temperature backward (eqs. 18 and 23 of the paper on
    learned editing [1]_).

    Parameters
    ----------
    thresholds : sequence of float, default=(0.5,)
        The measure and the violation are averaged over decisions at these thresholds on the
        score; others than .5 need two classes. Decisions at one threshold can be made equal
        by moving few scores across it, those at several only by moving the scores.
    temperature : float, default=0.3
        Of the softmax in the relaxation.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".
    """

    def __init__(self, *, thresholds: Sequence[float] = (0.5,), temperature: float = 0.3) -> None:
        self.thresholds = thresholds
        self.temperature = temperature

    def check(self, owner: str = "") -> None:
        """Raise unless thresholds lie between 0 and 1 and the temperature is positive."""
        name = type(self).__name__ + f" in {owner}" * bool(owner)
        check_in_range("temperature", self.temperature, owner=name, low=0, closed="neither")
        if isinstance(self.thresholds, str) or not isinstance(self.thresholds, Collection):
            raise TypeError(
                f"The 'thresholds' parameter of {name} must be a sequence of numbers between 0 and "
                f"1. Got {shown(self.thresholds)} instead. One threshold is (0.5,), the default."
            )
        if not len(self.thresholds):
            raise ValueError(
                f"The 'thresholds' parameter of {name} must name at least one threshold. Got "
                "none; (0.5,) is the predicted class."
            )
        for threshold in self.thresholds:
            check_in_range("thresholds", threshold, owner=name, low=0, high=1, closed="neither")

    def violation(self, logits: Tensor, cells: Cells) -> Tensor:
        """Difference of straight-through predictions."""
        return self._mean(
            logits, lambda z: self._difference(straight_through(z, self.temperature), cells)
        )

    def measure(self, logits: Tensor, cells: Cells) -> Tensor:
        """Difference of the predicted classes."""
        return self._mean(logits, lambda z: self._difference(hard_predictions(z), cells))

    def measure_over_thresholds(self, logits: Tensor, cells: Cells) -> Tensor:
        """Average of the measure over the thresholds .3 to .7 on the score.

        Parameters
        ----------
        logits : Tensor of shape (n, n_samples, n_classes)
            Outputs of the networks.
        cells : Cells
            Label and group of each row.

        Returns
        -------
        Tensor of shape (n,)
            One value per network; binary classifiers only.
        """
        return mean_over_thresholds(
            logits, lambda z: self._difference(hard_predictions(z), cells), THRESHOLDS
        )

    def measure_soft(self, logits: Tensor, cells: Cells) -> Tensor:
        """Difference of mean scores in place of decisions.

        Parameters
        ----------
        logits : Tensor of shape (n, n_samples, n_classes)
            Outputs of the networks.
        cells : Cells
            Label and group of each row.

        Returns
        -------
        Tensor of shape (n,)
            One value per network.
        """
        return self._difference(soft_predictions(logits, 1.0), cells)

    def directions(self, logits: Tensor, cells: Cells) -> Tensor:
        """Differences of soft rates, ``(n, n_parts)``."""
        return self._mean(
            logits,
            lambda z: self.parts(
                self._rates(soft_predictions(z, self.temperature), cells), cells.frequencies
            ),
        )

    @abstractmethod
    def of_rates(self, rates: Tensor, frequencies: Tensor) -> Tensor:
        """Difference of given rates.

        Parameters
        ----------
        rates : Tensor of shape (n, n_labels, n_groups, n_classes)
            ``P(prediction = k | label, group)``, for instance of resampled rows.
        frequencies : Tensor of shape (n_labels, n_groups)
            Share of each cell.

        Returns
        -------
        Tensor of shape (n,)
        """

    def parts(self, rates: Tensor, frequencies: Tensor) -> Tensor:
        """Differences that the whole is made of; by default the whole.

        Parameters
        ----------
        rates : Tensor of shape (n, n_labels, n_groups, n_classes)
            ``P(prediction = k | label, group)``.
        frequencies : Tensor of shape (n_labels, n_groups)
            Share of each cell.

        Returns
        -------
        Tensor of shape (n, n_parts)
            The differences.
        """
        return self.of_rates(rates, frequencies)[:, None]

    @abstractmethod
    def compared_rates(self, n_classes: int) -> list[tuple[int, list[int]]]:
        """Rates that are compared between groups.

        Parameters
        ----------
        n_classes : int
            Number of labels.

        Returns
        -------
        list of (int, list of int)
            Class k and labels of ``P(prediction = k | label is one of these)``, without those
            that follow from others.
        """

    def _mean(self, logits: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Average a function of logits over the thresholds."""
        self.check()
        return mean_over_thresholds(logits, function, self.thresholds)

    def _rates(self, predictions: Tensor, cells: Cells) -> Tensor:
        self.check_cells(cells)
        n_labels, n_outputs = len(cells.frequencies), predictions.shape[-1]
        if n_labels != n_outputs:
            raise ValueError(
                f"{type(self).__name__} needs networks with one output per label of the task. "
                f"Got {n_outputs} outputs for {n_labels} labels."
            )
        return cell_rates(predictions, cells.codes, *cells.frequencies.shape)

    def _difference(self, predictions: Tensor, cells: Cells) -> Tensor:
        return self.of_rates(self._rates(predictions, cells), cells.frequencies)


class EqualizedOdds(GroupFairness):
    """Equalized odds difference, for any number of groups and classes.

    The measure is eq. 9 of the paper on learned editing [1]_: the largest difference
    between two groups in ``P(prediction = k | y = k)`` or ``P(prediction = k | y != k)``
    over all classes k.

    Parameters
    ----------
    thresholds : sequence of float, default=(0.5,)
        Decisions on the score that are averaged over, as in :class:`GroupFairness`.
    temperature : float, default=0.3
        Of the softmax in the relaxation.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Cells, Task
    >>> from skmeta.requirements import EqualizedOdds
    >>> task = Task(torch.zeros(4, 1).numpy(), [0, 0, 1, 1], sensitive_features=["a", "b"] * 2)
    >>> logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    >>> EqualizedOdds().measure(logits, Cells.of(task))  # all of "a", none of "b" accepted
    tensor([1.])
    """

    def of_rates(self, rates: Tensor, frequencies: Tensor) -> Tensor:
        """Equalized odds difference of given rates.

        Parameters
        ----------
        rates : Tensor of shape (n, n_labels, n_groups, n_classes)
            ``P(prediction = k | label, group)``, for instance of resampled rows.
        frequencies : Tensor of shape (n_labels, n_groups)
            Share of each cell; ``P(prediction = k | y != k)`` averages cells with it.

        Returns
        -------
        Tensor of shape (n,)
        """
        weights = frequencies.to(rates)[None, :, :, None]
        true_rates = rates.diagonal(dim1=1, dim2=3)  # (n, group, k)
        weighted = rates * weights
        own = weighted.diagonal(dim1=1, dim2=3)
        total = weights.sum(1) - weights[..., 0].transpose(1, 2)  # P(y != k | group), up to scale
        false_rates = (weighted.sum(1) - own) / total
        return range_over(true_rates, 1).maximum(range_over(false_rates, 1)).amax(-1)

    def compared_rates(self, n_classes: int) -> list[tuple[int, list[int]]]:
        """True and false rate of every class; of two classes, of the second."""
        classes = range(n_classes)
        others = [[y for y in classes if y != k] for k in classes]
        rates = [(k, labels) for k in classes for labels in ([k], others[k])]
        return rates[2:] if n_classes == 2 else rates

    def parts(self, rates: Tensor, frequencies: Tensor) -> Tensor:
        """Largest difference among the rows of each label, ``(n, n_labels)``."""
        return range_over(rates, 2).amax(-1)


class DemographicParity(GroupFairness):
    """Demographic parity difference, for any number of groups and classes.

    The largest difference between two groups in ``P(prediction = k)``, over all classes k.
    It ignores the labels: equally qualified groups are not assumed, equal rates are asked, and
    a group may lack a label.

    Parameters
    ----------
    thresholds : sequence of float, default=(0.5,)
        Decisions on the score that are averaged over, as in :class:`GroupFairness`.
    temperature : float, default=0.3
        Of the softmax in the relaxation.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Cells, Task
    >>> from skmeta.requirements import DemographicParity
    >>> task = Task(torch.zeros(4, 1).numpy(), [0, 0, 1, 1], sensitive_features=["a", "b"] * 2)
    >>> logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    >>> DemographicParity().measure(logits, Cells.of(task))  # half of "a", none of "b" accepted
    tensor([0.5000])
    """

    @property
    def needs_labels(self) -> bool:
        """False: groups are compared whatever their labels."""
        return False

    def of_rates(self, rates: Tensor, frequencies: Tensor) -> Tensor:
        """Demographic parity difference of given rates.

        Parameters
        ----------
        rates : Tensor of shape (n, n_labels, n_groups, n_classes)
            ``P(prediction = k | label, group)``, for instance of resampled rows.
        frequencies : Tensor of shape (n_labels, n_groups)
            Share of each cell; ``P(prediction = k | group)`` averages labels with it.

        Returns
        -------
        Tensor of shape (n,)
        """
        weights = (frequencies / frequencies.sum(0)).to(rates)[None, :, :, None]
        return range_over((rates * weights).sum(1), 1).amax(-1)

    def compared_rates(self, n_classes: int) -> list[tuple[int, list[int]]]:
        """How often each class is predicted; of two classes, the second."""
        rates = [(k, list(range(n_classes))) for k in range(n_classes)]
        return rates[1:] if n_classes == 2 else rates


class EqualOpportunity(GroupFairness):
    """Equal opportunity difference: equal true rates, false ones may differ.

    The largest difference between two groups in ``P(prediction = k | y = k)``: with two
    classes that of the second one, the true positive rate; with more over all classes.

    Parameters
    ----------
    thresholds : sequence of float, default=(0.5,)
        Decisions on the score that are averaged over, as in :class:`GroupFairness`.
    temperature : float, default=0.3
        Of the softmax in the relaxation.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Cells, Task
    >>> from skmeta.requirements import EqualOpportunity
    >>> task = Task(torch.zeros(4, 1).numpy(), [0, 0, 1, 1], sensitive_features=["a", "b"] * 2)
    >>> logits = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    >>> EqualOpportunity().measure(logits, Cells.of(task))  # only false positives differ
    tensor([0.])
    """

    def of_rates(self, rates: Tensor, frequencies: Tensor) -> Tensor:
        """Equal opportunity difference of given rates.

        Parameters
        ----------
        rates : Tensor of shape (n, n_labels, n_groups, n_classes)
            ``P(prediction = k | label, group)``, for instance of resampled rows.
        frequencies : Tensor of shape (n_labels, n_groups)
            Not needed: the rates are given the label.

        Returns
        -------
        Tensor of shape (n,)
        """
        differences = range_over(rates.diagonal(dim1=1, dim2=3), 1)  # (n, k)
        return differences[:, 1] if differences.shape[1] == 2 else differences.amax(-1)

    def compared_rates(self, n_classes: int) -> list[tuple[int, list[int]]]:
        """True rate of every class; of two classes, of the second."""
        rates = [(k, [k]) for k in range(n_classes)]
        return rates[1:] if n_classes == 2 else rates
