"""Settings, batches and training of metanetworks, without an estimator."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from skorch.dataset import Dataset
from torch import nn
from torch.utils.data import Subset

from skmeta import ComplianceEditor, WeightSpaceRegressor
from skmeta.learning import OnPositions, TrainingSettings, train
from skmeta.learning.batches import same_depth_loader

GROUPS = [torch.tensor([0, 3, 4, 6, 8]), torch.tensor([1, 2]), torch.tensor([5, 7, 9])]


class Targets(NamedTuple):
    """A number to learn from each network of a depth."""

    values: torch.Tensor

    def select(self, rows):
        return self.values[rows]


class Squares(OnPositions):
    """The loss of network i is the squared distance of a weight to i."""

    def __init__(self, start=0.0):
        weight = nn.Linear(1, 1, bias=False)
        nn.init.constant_(weight.weight, start)
        super().__init__(weight, [(group.numpy(), Targets(group.float())) for group in GROUPS])
        self.data, self.seen = ("rows",), []

    def forward(self, positions):
        targets = self.select(positions)
        assert targets.tolist() == positions.tolist()
        self.seen.append(positions.tolist())
        return (self.metanet.weight[0, 0] - targets) ** 2


def settings(**params):
    return TrainingSettings.of(WeightSpaceRegressor(**{"batch_size": 2, "lr": 0.1, **params}))


def test_settings_are_the_parameters_of_an_estimator():
    found = TrainingSettings.of(ComplianceEditor(max_epochs=7, device="cpu"))
    assert (found.owner, found.max_epochs, found.lr) == ("ComplianceEditor", 7, 1.5e-3)
    assert found.device == torch.device("cpu")


def test_training_minimises_the_mean_loss_and_forgets_the_networks():
    module = Squares()
    net = train(settings(max_epochs=60), module, seed=0)
    assert module.metanet.weight.item() == pytest.approx(4.5, abs=1.5)
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]
    assert module.data is None and not module.inputs and not module.metanet.training


def test_the_seed_orders_the_networks():
    def seen(seed):
        module = Squares()
        train(settings(max_epochs=2), module, seed=seed)
        return module.seen

    assert seen(0) == seen(0) != seen(1)


def test_what_diverges_is_refused():
    with pytest.raises(ValueError, match="training of the metanetwork diverged"):
        train(settings(max_epochs=1), Squares(float("inf")), seed=0)


def loaded(dataset, batch_size, seed=None):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    loader = same_depth_loader(dataset, batch_size, groups=GROUPS, generator=generator)
    return len(loader), [positions.tolist() for positions, _ in loader]


def depth_of(position):
    return next(i for i, group in enumerate(GROUPS) if position in group)


def test_batches_are_of_one_depth():
    dataset = Dataset(np.arange(10))
    n, batches = loaded(dataset, 3)
    assert len(batches) == n == 4 and sorted(sum(batches, [])) == list(range(10))
    n, drawn = loaded(dataset, 3, seed=0)
    # Two of five networks sit out; of a depth with fewer than a batch none does.
    assert len(drawn) == n == 3 and sorted(map(len, drawn)) == [2, 3, 3]
    assert all(len({depth_of(p) for p in batch}) == 1 for batch in [*batches, *drawn])


def test_batches_of_a_part_hold_its_networks_only():
    part = Subset(Dataset(np.arange(10)), [8, 1, 0, 9])
    _, batches = loaded(part, 2)
    assert sorted(map(sorted, batches)) == [[0, 8], [1], [9]]
