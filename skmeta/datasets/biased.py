"""A generative model with a known gap between two groups."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils import Bunch

from skmeta._checks import check_in_range, check_rng

# The strength a of the merit and the intercept b: a base rate and an accuracy that look like
# those of real credit and income data, and a gap that costs little divergence to remove.
_SLOPE, _INTERCEPT = 1.5, -1.0
_N_PROXIES = 2
_GROUPS = ("A", "B")

_DESCR = """Synthetic decisions ("yes" / "no") on people of two groups, A and B.

The merit has the same distribution in both groups, but the log-odds of "yes" are {shift:.3f}
lower in group B at equal merit. The classifier that minimises the log loss therefore has an
equalized-odds difference of {gap}. Model: skmeta.datasets.make_biased_classification."""


def make_biased_classification(
    n_samples=10_000,
    *,
    n_features=10,
    gap=0.2,
    group_share=0.4,
    proxy_strength=2.0,
    random_state=None,
):
    r"""Make a binary task in which the best classifier treats two groups unequally.

    Each person has a group :math:`s \in \{A, B\}`, a merit :math:`z = w^T u` and a label:

    .. math::

        P(s = B) &= \text{group\_share}, \\
        u &\sim N(0, I_k), \quad w_j \propto 0.7^j, \quad \|w\| = 1, \\
        v_1, v_2 &\sim N(\pm \text{proxy\_strength} / 2, 1), \\
        P(y = \text{yes} \mid u, v, s) &= \sigma(1.5\, z - 1 \pm \delta / 2),

    with the upper signs in A and the lower ones in B.
    The columns are `group`, the proxies `proxy_0` and `proxy_1`, which tell the group and nothing
    else, and :math:`u` as `merit_0`, `merit_1`, ..., each less important than the one before.

    **The known gap.** The classifier that minimises the log loss says yes where
    :math:`1.5 z - 1 \pm \delta/2 > 0`. Since :math:`z \sim N(0, 1)` in both groups, its rates are
    one-dimensional integrals, for instance the true positive rate

    .. math::

        \frac{E[\sigma(t)\, 1\{t > 0\}]}{E[\sigma(t)]}, \quad t = 1.5 z - 1 \pm \delta / 2,

    and :math:`\delta` is solved for so that its equalized-odds difference, the larger of the
    gaps in true and in false positive rates, is exactly `gap` on the population. At ``gap=0``,
    :math:`\delta = 0`: the group says nothing about the label. Without the column `group`
    (``split_tasks(..., drop_sensitive=True)``) the proxies still carry part of it: with the
    defaults, logistic regression has a gap of 0.11. Weaker proxies carry less, and without any
    the gap turns round, because those in B who get a yes have more merit.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    n_features : int
        Number of columns, at least 4: the group, two proxies, and the merit in the others.
    gap : float
        The equalized-odds difference of the best classifier, from 0 to 0.9.
    group_share : float
        Share of the disadvantaged group B.
    proxy_strength : float
        Distance between the groups' means in each proxy, in standard deviations.
    random_state : None, int or numpy RandomState or Generator
        Seeds the draw.

    Returns
    -------
    Bunch
        As :func:`fetch_adult`: `data`, `target`, `sensitive_features`, `frame`, `feature_names`
        and `DESCR`; and `true_rates`, a DataFrame with the best classifier's true positive rate
        and false positive rate and the base rate of each group, and `log_odds_shift`, the
        :math:`\delta` of the model.

    See Also
    --------
    split_tasks : Make three tasks of it.

    Examples
    --------
    >>> from skmeta.datasets import make_biased_classification
    >>> bunch = make_biased_classification(500, gap=0.2, random_state=0)
    >>> bunch.data.shape
    (500, 10)
    >>> bunch.true_rates.round(2)
            tpr   fpr  base_rate
    group
    A      0.63  0.18       0.41
    B      0.43  0.07       0.26
    """
    owner = "make_biased_classification"
    check_in_range("n_samples", n_samples, owner=owner, low=1, kind="int")
    check_in_range("n_features", n_features, owner=owner, low=2 + _N_PROXIES, kind="int")
    check_in_range("gap", gap, owner=owner, low=0, high=0.9)
    check_in_range("group_share", group_share, owner=owner, low=0, high=1, closed="neither")
    check_in_range("proxy_strength", proxy_strength, owner=owner, low=0)
    rng = check_rng(random_state)
    # The gap saturates near 1 at a shift of 20, so the root lies inside the bracket.
    shift = brentq(lambda delta: _gap(delta) - gap, 0.0, 20.0) if gap > 0 else 0.0

    in_b = rng.random(n_samples) < group_share
    side = np.where(in_b, -0.5, 0.5)
    merit = rng.standard_normal((n_samples, n_features - 1 - _N_PROXIES))
    proxies = rng.standard_normal((n_samples, _N_PROXIES)) + proxy_strength * side[:, None]
    weights = 0.7 ** np.arange(merit.shape[1])
    z = merit @ (weights / np.linalg.norm(weights))
    granted = rng.random(n_samples) < expit(_SLOPE * z + _INTERCEPT + shift * side)

    data = pd.DataFrame({"group": np.where(in_b, *_GROUPS[::-1])})
    data[[f"proxy_{j}" for j in range(_N_PROXIES)]] = proxies
    data[[f"merit_{j}" for j in range(merit.shape[1])]] = merit
    target = pd.Series(np.where(granted, "yes", "no"), name="decision")
    return Bunch(
        data=data,
        target=target,
        sensitive_features=data[["group"]],
        frame=data.assign(decision=target),
        feature_names=list(data.columns),
        DESCR=_DESCR.format(shift=shift, gap=gap),
        true_rates=pd.DataFrame(
            [_rates(+shift / 2), _rates(-shift / 2)],
            index=pd.Index(_GROUPS, name="group"),
            columns=["tpr", "fpr", "base_rate"],
        ),
        log_odds_shift=shift,
    )


def _rates(offset):
    """Integrate the best classifier's TPR and FPR and the base rate of one group."""
    # Within the grid the normal density vanishes at the ends, and the decision boundary is put
    # onto it: the trapezoidal rule then has an error below 1e-6 and moves smoothly with `offset`.
    boundary = np.clip(-(_INTERCEPT + offset) / _SLOPE, -9.0, 9.0)
    below, above = (_moments(*side, offset) for side in ((-9.0, boundary), (boundary, 9.0)))
    (positive_below, negative_below), (positive_above, negative_above) = below, above
    base_rate = positive_below + positive_above
    return (
        positive_above / base_rate,
        negative_above / (negative_below + negative_above),
        base_rate,
    )


def _moments(low, high, offset):
    """Integrate the mass of positives and of negatives with a merit between `low` and `high`."""
    z = np.linspace(low, high, 2001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    chance = expit(_SLOPE * z + _INTERCEPT + offset)
    return np.trapezoid(density * chance, z), np.trapezoid(density * (1 - chance), z)


def _gap(shift):
    """Equalized-odds difference of the best classifier."""
    favoured, other = np.array(_rates(shift / 2)), np.array(_rates(-shift / 2))
    return np.max(favoured[:2] - other[:2])
