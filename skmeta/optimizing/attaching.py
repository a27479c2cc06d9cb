"""Learned optimizers in skorch: :class:`AttachModule`."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from skmeta.optimizing.torch_optimizer import LearnedOptimizer

_SKORCH_LR = 0.01
"""What skorch passes where nobody has said anything."""


class AttachModule(Callback):
    """Tell a learned optimizer which module it trains, and for how long.

    skorch makes optimizers from parameters; a :class:`LearnedOptimizer` watches the module, too.
    Unless ``optimizer__n_steps`` says something else, the learning rate falls over ``max_epochs``
    passes.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skmeta.optimizing import AttachModule, Optimizer, OptimizerFactory, Training
    >>> X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> y = (X[:, 0] > 0).long()
    >>> net = NeuralNetClassifier(
    ...     nn.Linear(3, 2),
    ...     criterion=nn.CrossEntropyLoss,
    ...     optimizer=OptimizerFactory(Optimizer.start("kfac", Training(100, 32))),
    ...     lr=1.0,
    ...     max_epochs=50,
    ...     batch_size=16,
    ...     verbose=0,
    ...     callbacks=[AttachModule()],
    ... )
    >>> bool(net.fit(X, y).score(X, y) > 0.9)
    True
    >>> net.optimizer_.n_steps
    200
    """

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Attach the optimizer.

        Parameters
        ----------
        net : NeuralNet
            Whose optimizer is a learned one.
        X, y : object
            What it is trained on.
        **kwargs : dict
            Further arguments of skorch.
        """
        optimizer = net.optimizer_
        if not isinstance(optimizer, LearnedOptimizer):
            raise TypeError(
                "AttachModule is for learned optimizers. The 'optimizer' of the net makes a "
                f"{type(optimizer).__name__}; pass what GradientMetaOptimizer.to_optimizer() "
                "returns, or leave the callback out."
            )
        if net.lr == _SKORCH_LR and getattr(net, "optimizer__lr", None) is None:
            raise ValueError(
                f"The 'lr' of the net multiplies the learning rate that was learned. Got skorch's "
                f"default, {_SKORCH_LR}. Pass lr=1.0 to the net (or optimizer__lr={_SKORCH_LR}, if "
                "you mean it)."
            )
        optimizer.attach(net.module_)

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Say how long the training is.

        Parameters
        ----------
        net : NeuralNet
            Whose optimizer is a learned one.
        dataset_train, dataset_valid : Dataset
            What it is trained and validated on.
        **kwargs : dict
            Further arguments of skorch.
        """
        if net.optimizer_.n_steps is None:
            n_batches = len(net.get_iterator(dataset_train, training=True))
            net.optimizer_.n_steps = net.max_epochs * n_batches
