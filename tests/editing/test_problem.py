"""Free and masked edits are problems of one kind, whole or in parts."""

import numpy as np
import pytest
import torch

from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.editing.features import make_builder
from skmeta.editing.problem import EditProblem
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.requirements import Pruning, split_requirements


def posed(requirement):
    _, task, _ = split_tasks(make_biased_classification(600, random_state=0), "group")
    plan = split_requirements(requirement, 0.1, "X")
    builder = make_builder("gradients", plan, task, np.arange(task.n_samples))
    widths = (task.n_features, 6, 2)
    population = Population.initialize(Architecture.mlp(widths), 5, random_state=0)
    ((_, stack),) = population.depth_blocks()
    return stack, builder


def numbers(problem):
    graph = problem.graph
    networks = [*problem.original.weights.views, *problem.start.weights.views]
    features = [*graph.nodes, *(step.flat for step in graph.steps)]
    wholes = [graph.context, graph.reach, graph.freedom, problem.target, problem.divergence]
    return [*networks, *features, *wholes, *graph.free]


@pytest.mark.parametrize("requirement", ["equalized_odds", Pruning(budget=0.4)])
def test_parts_make_up_the_whole(requirement):
    stack, builder = posed(requirement)
    whole = builder.build(stack)
    parts = [builder.build(stack.select(rows)) for rows in ([0, 1], [2, 3, 4])]
    rows = torch.tensor([4, 1])
    selected = builder.build(stack.select(rows))
    for found, wanted in ((EditProblem.merge(parts), whole), (whole.select(rows), selected)):
        assert len(found) == len(wanted)
        for a, b in zip(numbers(found), numbers(wanted), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_free_edit_starts_at_the_original_with_nothing_frozen():
    stack, builder = posed("equalized_odds")
    problem = builder.build(stack)
    assert problem.start is problem.original is stack
    assert not problem.divergence.any()
    assert all((t == 1).all() for t in (problem.graph.freedom, *problem.graph.free))


def test_a_masked_edit_starts_at_what_is_left():
    stack, builder = posed(Pruning(budget=0.4))
    problem = builder.build(stack)
    assert problem.original is stack
    assert (problem.divergence > 0).all() and (problem.graph.freedom <= 1).all()
    for weight, free in zip(
        problem.start.weights.of_field("weight"), problem.graph.free, strict=True
    ):
        assert not weight[free.expand_as(weight) == 0].any()
    kept = sum(free.flatten(1).sum(1) for free in problem.graph.free)
    total = sum(weight[0].numel() for weight in stack.weights.of_field("weight"))
    assert (kept == round(0.4 * total)).all()
