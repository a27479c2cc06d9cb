"""Masks: exact budgets, what counts, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.requirements import DataMinimization, Pruning, resolve_requirement
from skmeta.requirements.masks import keep_largest, masked
from tests.stages import layer

WIDTHS = [(5, 8, 2), (5, 4, 3, 2), (5, 6, 3, 2)]


@pytest.fixture
def networks():
    parts = [Population.initialize(Architecture.mlp(w), 2, random_state=0) for w in WIDTHS]
    return Population([network for part in parts for network in part.to_networks()])


def random_scores(candidates, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(c.shape, generator=generator) for c in candidates]


@pytest.mark.parametrize("requirement", [DataMinimization(), Pruning()], ids=str)
@pytest.mark.parametrize("budget", [1, np.int64(3), 10_000, 0.01, 0.5, 1.0])
def test_budgets_are_met_exactly(networks, requirement, budget):
    if budget == 10_000 and isinstance(requirement, DataMinimization):
        with pytest.raises(ValueError, match="at most the number of inputs .* Got 10000"):
            requirement.n_kept(networks.blocks[0][1], budget)
        return
    for _, stack in networks.depth_blocks():
        candidates = requirement.candidates(stack)
        n_kept = requirement.n_kept(stack, budget)
        masks = keep_largest(random_scores(candidates), candidates, n_kept)
        edited = stack.with_weights(masked(stack.weights, masks))
        for row, architecture in enumerate(stack.architectures):
            widths = architecture.widths
            sizes = [a * b for a, b in zip(widths, widths[1:], strict=False)]
            total = widths[0] if isinstance(requirement, DataMinimization) else sum(sizes)
            wanted = (
                min(budget, total)
                if not isinstance(budget, float)
                else max(round(budget * total), 1)
            )
            assert n_kept[row] == wanted
            share = requirement.measure_weights(edited)[row]
            assert share == pytest.approx(wanted / total)


def test_the_largest_scores_stay_whatever_the_padding(networks):
    (_, narrow), (_, wide) = networks.blocks[1], networks.depth_blocks()[1]
    own = Pruning().candidates(narrow)
    scores = random_scores(own)
    flat = torch.cat([s[0].flatten() for s in scores])
    masks = keep_largest(scores, own, torch.tensor([7, 7]))
    kept = torch.cat([m[0].flatten() for m in masks])
    assert flat[kept == 1].min() > flat[kept == 0].max() and kept.sum() == 7

    padded = narrow.padded(wide.widths)
    grown = [
        nn.functional.pad(s, (0, c.shape[2] - s.shape[2], 0, c.shape[1] - s.shape[1]), value=9.0)
        for s, c in zip(scores, padded.weights.of_field("weight"), strict=True)
    ]
    again = keep_largest(grown, Pruning().candidates(padded), torch.tensor([7, 7]))
    for mask, big in zip(masks, again, strict=True):
        assert torch.equal(mask, big[:, : mask.shape[1], : mask.shape[2]])
        assert big.sum() == mask.sum()


def test_an_input_that_is_masked_no_longer_matters(networks):
    requirement = DataMinimization()
    for _, stack in networks.depth_blocks():
        candidates = requirement.candidates(stack)
        masks = keep_largest(random_scores(candidates), candidates, requirement.n_kept(stack, 2))
        assert all((m == 1).all() for m in masks[1:])
        kept = masks[0][:, 0]
        weight = masked(stack.weights, masks)["0.weight"]
        used = (weight != 0).any(1).float()
        assert torch.equal(used, kept)


def test_what_counts_as_used():
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]))
        module[2].weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    ((_, stack),) = Population([module]).blocks
    assert DataMinimization().measure_weights(stack).tolist() == pytest.approx([2 / 3])
    assert Pruning().measure_weights(stack).tolist() == pytest.approx([6 / 10])


@pytest.mark.parametrize(
    "budget, error, match",
    [
        (0, ValueError, r"'budget' parameter of Pruning in X must be an int .* \[1, inf\)"),
        (0.0, ValueError, r"'budget' .* must be a float in the range \(0, 1\]"),
        (1.5, ValueError, r"'budget' .* must be a float in the range \(0, 1\]"),
        ("half", TypeError, r"'budget' .* must be a float"),
        (True, TypeError, r"'budget' .* must be a float"),
    ],
)
def test_budgets_that_mean_nothing_are_refused(budget, error, match):
    with pytest.raises(error, match=match):
        Pruning(budget=budget).check("X")


def test_inputs_that_skip_the_first_layer_are_refused():
    layers = (layer(4), layer(4, skips=(0,)), layer(2, activation="identity"))
    networks = Population.initialize(Architecture(4, layers), 1, random_state=0)
    with pytest.raises(ValueError, match="Got a skip connection from the input"):
        DataMinimization().measure_weights(networks.blocks[0][1])


def test_names():
    assert isinstance(resolve_requirement("pruning", "X"), Pruning)
    assert isinstance(resolve_requirement("data_minimization", "X"), DataMinimization)
