"""Fine-tuning: on groups, on targets, from a teacher."""

import numpy as np
import pytest
import torch
from torch import nn

from skmeta.baselines import FineTune
from skmeta.datasets import Cells, Task
from skmeta.editing import fine_tune
from skmeta.population import run_networks
from skmeta.requirements import EqualizedOdds, FairTeacher, Objective, kullback_leibler


def test_fine_tuning_asks_for_groups(zoo, tasks):
    blind = Task(tasks[1].X, tasks[1].y)
    with pytest.raises(ValueError, match="'task' parameter of fine_tune must have sensitive"):
        fine_tune(zoo, blind, Objective(EqualizedOdds()), lam=0.1, n_steps=1)


def test_fine_tuning_on_targets_learns_these_network_by_network(zoo, tasks):
    task = tasks[1]
    wanted = torch.from_numpy(np.random.default_rng(0).integers(2, size=(len(zoo), 1)))
    targets = 6.0 * torch.nn.functional.one_hot(wanted, 2).expand(-1, task.n_samples, -1).float()
    objective = Objective(None, kullback_leibler)
    tuned = fine_tune(
        zoo, task, objective, lam=0.0, n_steps=60, lr=0.03, targets=targets, random_state=0
    )
    labels = run_networks(tuned, task).argmax(-1)
    assert ((labels == wanted).float().mean(1) > 0.95).all()  # each its own constant
    assert len(wanted.unique()) == 2
    with pytest.raises(ValueError, match=r"'targets' parameter of fine_tune must have shape \(6, "):
        fine_tune(zoo, task, objective, lam=0.0, n_steps=1, targets=targets[:2])


def test_a_teacher_reduces_gaps_and_keeps_the_skill_for_classes(zoo, tasks):
    _, reference, test = tasks
    teacher = FairTeacher(tolerance=0.01, random_state=0)
    options = {"lam": 0.5, "n_steps": 60, "lr": 0.01, "random_state": 0}
    taught = FineTune(teacher=teacher, **options).fit(zoo, task=reference)
    assert not hasattr(teacher, "joint_")  # cloned
    before, after = (
        measure(run_networks(networks, test), test) for networks in (zoo, taught.transform(zoo))
    )
    assert after["gap"] < 0.6 * before["gap"]
    assert after["balanced"] > before["balanced"] - 0.01
    with pytest.raises(TypeError, match="'teacher' parameter of FineTune must be a FairTeacher"):
        FineTune(teacher="fair").fit(zoo, task=reference)


def measure(logits, task):
    hits = (logits.argmax(-1).numpy() == task.y).astype(float)
    recalls = [hits[:, task.y == k].mean() for k in range(task.n_classes)]
    gap = EqualizedOdds().measure(logits, Cells.of(task)).mean().item()
    return {"gap": gap, "balanced": np.mean(recalls)}


def test_fine_tuning_leaves_the_statistics_of_batch_normalisation(tasks):
    _, reference, _ = tasks
    torch.manual_seed(0)
    layers = nn.Linear(10, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
    network = nn.Sequential(*layers).eval()
    network[1].running_mean.normal_()
    (tuned,) = FineTune(n_steps=5, random_state=0).fit([], task=reference).transform([network])
    assert torch.equal(tuned[1].running_mean, network[1].running_mean)
    assert torch.equal(tuned[1].running_var, network[1].running_var)
    assert not torch.equal(tuned[1].weight, network[1].weight)


def test_nothing_but_the_last_stage_of_some_networks_is_trained(zoo, tasks):
    last_only = torch.arange(len(zoo)) % 2 == 0
    options = {"lam": 0.5, "n_steps": 3, "random_state": 0}
    tuned = fine_tune(
        zoo, tasks[1], Objective(EqualizedOdds()), last_stage_only=last_only, **options
    )
    free = fine_tune(zoo, tasks[1], Objective(EqualizedOdds()), **options)
    for only, *records in zip(
        last_only, zoo.records(), tuned.records(), free.records(), strict=True
    ):
        before, after, other = (record.tensors for record in records)
        last = str(records[0].architecture.depth - 1)
        for name, tensor in after.items():
            if name.split(".")[0] == last:
                assert not torch.equal(tensor, before[name])
            else:
                assert torch.equal(tensor, before[name] if only else other[name])
