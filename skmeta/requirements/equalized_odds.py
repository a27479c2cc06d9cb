"""Equal error rates in all groups: :class:`EqualizedOdds`."""

from __future__ import annotations

from torch import Tensor

from skmeta.requirements.base import Cells, Requirement
from skmeta.requirements.rates import (
    cell_rates,
    hard_predictions,
    mean_over_thresholds,
    range_over,
    soft_predictions,
    straight_through,
)


class EqualizedOdds(Requirement):
    """Equalized odds difference, for any number of groups and classes.

    The measure is eq. 9 of the paper on learned editing [1]_: the largest difference
    between two groups in ``P(prediction = k | y = k)`` or ``P(prediction = k | y != k)``
    over all classes k. The violation replaces the predictions by straight-through ones:
    hard forward, a softmax with temperature backward (eqs. 18 and 23).

    Parameters
    ----------
    temperature : float, default=0.3
        Of the softmax in the relaxation.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Task
    >>> from skmeta.requirements import Cells, EqualizedOdds
    >>> task = Task(torch.zeros(4, 1).numpy(), [0, 0, 1, 1], sensitive_features=["a", "b"] * 2)
    >>> logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    >>> EqualizedOdds().measure(logits, Cells.of(task))  # all of "a", none of "b" accepted
    tensor([1.])
    """

    def __init__(self, *, temperature: float = 0.3) -> None:
        self.temperature = temperature

    def violation(self, logits: Tensor, cells: Cells) -> Tensor:
        """Equalized odds difference of straight-through predictions."""
        return self._difference(straight_through(logits, self.temperature), cells)

    def measure(self, logits: Tensor, cells: Cells) -> Tensor:
        """Equalized odds difference of the predicted classes (eq. 9)."""
        return self._difference(hard_predictions(logits), cells)

    def measure_over_thresholds(self, logits: Tensor, cells: Cells) -> Tensor:
        """Average over a grid of thresholds on the score (binary classifiers only)."""
        return mean_over_thresholds(logits, lambda p: self._difference(p, cells))

    def measure_soft(self, logits: Tensor, cells: Cells) -> Tensor:
        """Difference of mean scores in place of decisions."""
        return self._difference(soft_predictions(logits, 1.0), cells)

    def directions(self, logits: Tensor, cells: Cells) -> Tensor:
        """Largest difference of soft rates among the rows of each label, ``(n, n_labels)``."""
        rates = self._rates(soft_predictions(logits, self.temperature), cells)
        return range_over(rates, 2).amax(-1)

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

    def _rates(self, predictions: Tensor, cells: Cells) -> Tensor:
        n_labels, n_outputs = len(cells.frequencies), predictions.shape[-1]
        if n_labels != n_outputs:
            raise ValueError(
                "EqualizedOdds needs networks with one output per label of the task. Got "
                f"{n_outputs} outputs for {n_labels} labels."
            )
        return cell_rates(predictions, cells.codes, *cells.frequencies.shape)

    def _difference(self, predictions: Tensor, cells: Cells) -> Tensor:
        return self.of_rates(self._rates(predictions, cells), cells.frequencies)
