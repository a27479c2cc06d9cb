"""Natural gradients by Kronecker-factored curvature (K-FAC), for a whole stack at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skmeta.gradients.recording import Recording
from skmeta.population import Weights
from skmeta.population.running import check_no_images

DAMPING = 0.3
"""Relative to the mean eigenvalue. From .03 to .3 editors did alike on rows of Adult that neither
networks nor editors had seen; with 1 they captured a tenth less at lam .03."""


class KroneckerFisher:
    """Kronecker factors of the Fisher information of every layer of every network.

    The Fisher information is the curvature of the divergence between a network and an
    edit of it; per layer it is approximated by ``A x G``, with A the second moment of the
    layer's inputs (and a one for the bias) and G that of the gradients at its outputs.

    Parameters
    ----------
    recording : Recording
        Forward pass on some rows.
    weights : Tensor of shape (n_samples,)
        Weights of the rows; they sum to 1.
    damping : float
        Added to the factors, relative to their mean eigenvalue.
    every : int
        Use every k-th row: moments of some hundred rows differ little.
    """

    def __init__(
        self,
        recording: Recording,
        weights: Tensor,
        damping: float = DAMPING,
        *,
        every: int = 1,
    ) -> None:
        self.stack = stack = recording.stack
        check_no_images(stack.architectures, "KroneckerFisher")
        weights = weights[::every] / weights[::every].sum()
        root = weights.sqrt()[:, None]
        few = recording.thinned(every)
        # Pulling back is linear: weighting the few logits weights all deltas.
        pulled = [few.pull_back(v * root) for v in fisher_vectors(few.logits)]
        inputs, moments = zip(*pulled[0].kfac(weights), strict=True)
        for factors in pulled[1:]:
            deltas = (factors.outer[i].delta for i in range(stack.depth))
            others = (delta.transpose(1, 2) @ delta for delta in deltas)
            moments = tuple(a + b for a, b in zip(moments, others, strict=True))
        masks = [stack.true_neurons(i) for i in range(stack.depth + 1)]
        self.outputs = [
            _damped(m, mask, damping) for m, mask in zip(moments, masks[1:], strict=True)
        ]
        self.inputs = []
        for moment, mask in zip(inputs, masks[:-1], strict=True):
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            self.inputs.append(_damped(moment, mask, damping))

    def solve(self, gradients: Sequence[Weights]) -> list[Weights]:
        """Multiply gradients by the inverse curvature.

        Parameters
        ----------
        gradients : sequence of Weights
            One or more, each of all networks.

        Returns
        -------
        list of Weights
            In the same order, zero at scales and shifts; NaN for a network whose curvature
            cannot be factorised.
        """
        solved: list[dict[str, Tensor]] = [{} for _ in gradients]
        for i in range(self.stack.depth):
            names = f"{i}.weight", f"{i}.bias"
            both = [torch.cat([g[names[0]], _column(g, names[1])], -1) for g in gradients]
            rows, columns = both[0].shape[1:]
            # All right-hand sides at once: side by side, then on top of each other.
            left = torch.cholesky_solve(torch.cat(both, 2), self.outputs[i])
            stacked = left.unflatten(2, (-1, columns)).transpose(1, 2).flatten(1, 2)
            right = torch.cholesky_solve(stacked.transpose(1, 2), self.inputs[i])
            for found, part in zip(solved, right.split(rows, 2), strict=True):
                found[names[0]] = part[:, :-1].transpose(1, 2)
                if names[1] in gradients[0]:
                    found[names[1]] = part[:, -1]
        layout, present = gradients[0].layout, self.stack.present()
        steps = [Weights.of(layout, tensors) for tensors in solved]
        # NaN stays where it is: times a zero it would be NaN as well.
        return [step.with_flat(torch.where(present.flat > 0, step.flat, 0.0)) for step in steps]


def _column(gradient: Weights, name: str) -> Tensor:
    """Return the gradient of a bias as a column, zeros where no network has one."""
    bias = gradient.get(name)
    if bias is None:
        weight = gradient[name.replace("bias", "weight")]
        return torch.zeros_like(weight[..., :1])
    return bias[..., None]


def _damped(moment: Tensor, mask: Tensor, damping: float) -> Tensor:
    """Cholesky factor of a second moment plus a multiple of its mean eigenvalue.

    A factor that cannot be computed (states that overflow) comes back as nan, network by
    network, for the caller to refuse.
    """
    mean = moment.diagonal(dim1=1, dim2=2).sum(1) / mask.sum(1)
    eye = torch.eye(moment.shape[-1], dtype=moment.dtype, device=moment.device)
    # Padding gets ones, so that the matrix is regular; it never mixes with true entries.
    added = damping * mean.clamp_min(1e-10)[:, None, None] * eye
    factor, info = torch.linalg.cholesky_ex(moment + added + torch.diag_embed(1 - mask))
    return torch.where(info[:, None, None] == 0, factor, torch.nan)


def fisher_vectors(logits: Tensor) -> list[Tensor]:
    """Vectors at the logits whose second moment is the Fisher information of a softmax.

    That is ``diag(p) - p p^T``, the sum over classes k of outer products of
    ``sqrt(p_k) (e_k - p)``; with two classes one vector suffices.
    """
    p = logits.softmax(-1)
    n_classes = p.shape[-1]
    if n_classes == 2:
        root = (p[..., 0] * p[..., 1]).sqrt()
        return [torch.stack([-root, root], -1)]
    eye = torch.eye(n_classes, dtype=p.dtype, device=p.device)
    return [p[..., k, None].sqrt() * (eye[k] - p) for k in range(n_classes)]
