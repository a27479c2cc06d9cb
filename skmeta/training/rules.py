"""Update rules on stacked parameters: SGD, RMSprop, Adam and AdamW, one setting per network.

Each rule is that of ``torch.optim``, applied to a ``(n, n_parameters)`` tensor in place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.optim.adam import adam

from skmeta._checks import check_option


class SGD:
    """Stochastic gradient descent with momentum and L2 weight decay.

    Parameters
    ----------
    weight_decay : Tensor of shape (n, 1)
        Per network.
    momentum : float, default=0.9
        Decay of the velocity.
    """

    def __init__(self, weight_decay: Tensor, *, momentum: float = 0.9) -> None:
        self.weight_decay, self.momentum = weight_decay, momentum
        self._decays = bool(weight_decay.any())
        self.velocity: Tensor | None = None

    def step(self, flat: Tensor, gradient: Tensor, lr: Tensor) -> None:
        """Update the weights in place.

        Parameters
        ----------
        flat : Tensor of shape (n, n_parameters)
            The weights.
        gradient : Tensor of shape (n, n_parameters)
            Of each network's loss.
        lr : Tensor of shape (n, 1)
            Learning rates.
        """
        if self._decays:
            gradient = gradient.addcmul(flat, self.weight_decay)
        if self.velocity is None:
            self.velocity = gradient.clone()
        else:
            self.velocity.mul_(self.momentum).add_(gradient)
        flat.addcmul_(self.velocity, lr, value=-1.0)


class RMSprop:
    """RMSprop with L2 weight decay, without momentum.

    Parameters
    ----------
    weight_decay : Tensor of shape (n, 1)
        Per network.
    alpha, eps : float
        As in ``torch.optim.RMSprop``.
    """

    def __init__(self, weight_decay: Tensor, *, alpha: float = 0.99, eps: float = 1e-8) -> None:
        self.weight_decay, self.alpha, self.eps = weight_decay, alpha, eps
        self._decays = bool(weight_decay.any())
        self.square: Tensor | None = None

    def step(self, flat: Tensor, gradient: Tensor, lr: Tensor) -> None:
        """Update the weights in place.

        Parameters
        ----------
        flat : Tensor of shape (n, n_parameters)
            The weights.
        gradient : Tensor of shape (n, n_parameters)
            Of each network's loss.
        lr : Tensor of shape (n, 1)
            Learning rates.
        """
        if self._decays:
            gradient = gradient.addcmul(flat, self.weight_decay)
        if self.square is None:
            self.square = torch.zeros_like(flat)
        self.square.mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
        update = self.square.sqrt().add_(self.eps).reciprocal_().mul_(gradient)
        flat.addcmul_(update, lr, value=-1.0)


class Adam:
    """Adam; ``decoupled`` selects AdamW's weight decay in place of L2.

    Parameters
    ----------
    weight_decay : Tensor of shape (n, 1)
        Per network.
    betas, eps : float
        As in ``torch.optim.Adam``.
    decoupled : bool, default=False
        Multiply the weights by ``1 - lr * weight_decay`` (AdamW) in place of adding
        ``weight_decay * weight`` to the gradient (Adam).
    """

    def __init__(
        self,
        weight_decay: Tensor,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decoupled: bool = False,
    ) -> None:
        self.weight_decay, self.betas, self.eps = weight_decay, betas, eps
        self._decays = bool(weight_decay.any())
        self.decoupled, self.n_steps = decoupled, torch.zeros((), dtype=torch.float32)
        self.mean = self.square = self.update = torch.empty(0)

    def step(self, flat: Tensor, gradient: Tensor, lr: Tensor) -> None:
        """Update the weights in place.

        Parameters
        ----------
        flat : Tensor of shape (n, n_parameters)
            The weights.
        gradient : Tensor of shape (n, n_parameters)
            Of each network's loss. It is overwritten if it decays by L2.
        lr : Tensor of shape (n, 1)
            Learning rates.
        """
        if not self.n_steps:
            self.mean, self.square, self.update = (torch.zeros_like(flat) for _ in range(3))
        if self._decays:
            if self.decoupled:
                flat.mul_(1 - lr * self.weight_decay)
            else:
                gradient.addcmul_(flat, self.weight_decay)
        # torch's fused kernel knows one learning rate: it takes a step of size 1 from zero,
        # which is then scaled per network.
        adam(
            [self.update.zero_()],
            [gradient],
            [self.mean],
            [self.square],
            [],
            [self.n_steps],
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=1.0,
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )
        flat.addcmul_(self.update, lr)


_RULES: dict[str, Callable[[Tensor], SGD | RMSprop | Adam]] = {
    "adam": Adam,
    "adamw": partial(Adam, decoupled=True),
    "sgd": SGD,
    "rmsprop": RMSprop,
}
RULES = tuple(_RULES)
"""Names of the update rules."""


def make_rule(name: str, weight_decay: Tensor) -> SGD | RMSprop | Adam:
    """Return a fresh rule by name."""
    return _RULES[check_option("rule", name, RULES, owner="StackTrainer")](weight_decay)
