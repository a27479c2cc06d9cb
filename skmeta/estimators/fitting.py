"""Building the metanetwork and the skorch net that trains it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler, PrintLog
from torch import nn
from tqdm.auto import tqdm

from skmeta._validation import check_option
from skmeta.estimators.training_module import EditingLoss, MeanCriterion
from skmeta.metanets import METANETS, EditingMetanet, WeightGraph


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with torch's global generator seeded, and put its state back."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


def build_metanet(
    metanet: Any,
    graph: WeightGraph,
    *,
    seed: int,
    n_inputs: int,
    n_outputs: int,
    hidden_channels: int,
    n_layers: int,
) -> nn.Module:
    """Build a metanetwork for graphs like the given one."""
    kind: Any
    if isinstance(metanet, type) and issubclass(metanet, EditingMetanet):
        kind = metanet
    else:
        if isinstance(metanet, type):
            raise TypeError(
                "The 'metanet' parameter of ComplianceEditor must be a name or a subclass of "
                f"skmeta.metanets.EditingMetanet. Got {metanet!r} instead."
            )
        check_option("metanet", metanet, list(METANETS), owner="ComplianceEditor")
        kind = METANETS[metanet]
    with seeded(seed):
        return kind(
            n_inputs,
            n_outputs,
            graph.nodes[0].shape[-1],
            graph.context.shape[-1],
            len(graph.steps),
            hidden_channels=hidden_channels,
            n_layers=n_layers,
        )


def build_net(estimator: Any, module: EditingLoss, n_networks: int, *, seed: int) -> NeuralNet:
    """Build the skorch net of an estimator, or clone it from its ``net`` parameter."""
    generator = torch.Generator().manual_seed(seed)
    fixed = {
        # A callable: skorch does not let set_params replace a module by a module.
        "module": partial(_given, module),
        "criterion": MeanCriterion,
        "iterator_train__shuffle": True,
        "iterator_train__generator": generator,
        "device": str(estimator.device_),
    }
    if estimator.net is not None:
        if not isinstance(estimator.net, NeuralNet):
            raise TypeError(
                "The 'net' parameter of ComplianceEditor must be a skorch.NeuralNet. Got "
                f"{type(estimator.net).__name__} instead."
            )
        return clone(estimator.net).set_params(**fixed)
    n_steps = estimator.max_epochs * -(-n_networks // estimator.batch_size)
    callbacks: list = [
        ("clip", GradientNormClipping(1.0)),
        (
            "schedule",
            LRScheduler(
                torch.optim.lr_scheduler.CosineAnnealingLR, T_max=n_steps, step_every="batch"
            ),
        ),
    ]
    if estimator.verbose == 1:
        callbacks.append(("bar", EpochBar()))
    return NeuralNet(
        **fixed,
        max_epochs=estimator.max_epochs,
        lr=estimator.lr,
        batch_size=estimator.batch_size,
        optimizer=torch.optim.AdamW,
        train_split=None,
        callbacks=callbacks + deepcopy(estimator.callbacks or []),
        callbacks__print_log=PrintLog() if estimator.verbose > 1 else None,
        verbose=int(estimator.verbose > 1),
    )


def _given(module: nn.Module) -> nn.Module:
    return module


class EpochBar(Callback):
    """A progress bar over epochs with the training loss."""

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = tqdm(total=net.max_epochs, desc="editor", unit="epoch")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Advance the bar."""
        self.bar_.set_postfix(loss=f"{net.history[-1, 'train_loss']:.4f}")
        self.bar_.update()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar; it does not belong into a pickle."""
        self.bar_.close()
        del self.bar_
