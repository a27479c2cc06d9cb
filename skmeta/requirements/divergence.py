"""How far an edited network is from the original, or from a teacher."""

from __future__ import annotations

import torch
from torch import Tensor


def jensen_shannon(original: Tensor, edited: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence between the predictions of two networks, row by row.

    This is the preservation term of the paper on learned editing [1]_ (section 3.1), with
    the natural logarithm: it lies between 0 and log 2.

    Parameters
    ----------
    original, edited : Tensor of shape (..., n_samples, n_classes)
        Logits.

    Returns
    -------
    Tensor of shape (..., n_samples)
        In nats; differentiable, with a zero gradient where both agree.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".

    Examples
    --------
    >>> import torch
    >>> from skmeta.requirements import jensen_shannon
    >>> logits = torch.tensor([[0.0, 0.0], [50.0, -50.0]])
    >>> jensen_shannon(logits, torch.tensor([[0.0, 0.0], [-50.0, 50.0]]))
    tensor([0.0000, 0.6931])
    """
    log_p, log_q = original.log_softmax(-1), edited.log_softmax(-1)
    log_m = torch.logaddexp(log_p, log_q) - 0.6931471805599453
    left = (log_p.exp() * (log_p - log_m)).sum(-1)
    right = (log_q.exp() * (log_q - log_m)).sum(-1)
    return (0.5 * (left + right)).clamp_min(0.0)


def kullback_leibler(taught: Tensor, edited: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of predictions from a teacher's, row by row.

    Its gradient is that of the cross-entropy against the teacher's probabilities.

    Parameters
    ----------
    taught, edited : Tensor of shape (..., n_samples, n_classes)
        Logits.

    Returns
    -------
    Tensor of shape (..., n_samples)
        In nats, 0 where both agree; differentiable in ``edited``.

    Examples
    --------
    >>> import torch
    >>> from skmeta.requirements import kullback_leibler
    >>> kullback_leibler(torch.tensor([[0.0, 50.0]]), torch.tensor([[0.0, 0.0]]))
    tensor([0.6931])
    """
    p = taught.softmax(-1)
    return -(p * edited.log_softmax(-1)).sum(-1) - torch.special.entr(p).sum(-1)
