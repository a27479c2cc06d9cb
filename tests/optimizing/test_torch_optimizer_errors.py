"""What a learned optimizer of torch modules refuses, and what it warns of."""

import pytest
import torch
from torch import nn

from skmeta.optimizing import LearnedOptimizer, OptimizerFactory
from tests.optimizing.modules import network, settings, train
from tests.training.test_against_torch import X, Y


def test_more_steps_than_it_was_made_for_are_warned_of_once():
    module = network()
    optimizer = OptimizerFactory(settings("adam"))(module, n_steps=3)
    train(module, optimizer, 3)
    with pytest.warns(UserWarning, match="more steps than the 3 .* n_steps="):
        train(module, optimizer, 1)
    train(module, optimizer, 2)


def eval_mode_training(module, optimizer):
    train(module, optimizer, 4)
    module.eval()
    train(module, optimizer, 1)


def forward_alone(module, optimizer):
    train(module, optimizer, 4)
    optimizer.zero_grad()
    nn.functional.cross_entropy(module.forward(X), Y).backward()
    optimizer.step()


@pytest.mark.parametrize("wrong", [eval_mode_training, forward_alone])
def test_gradients_at_averaged_weights_are_refused(wrong):
    module = network()
    optimizer = LearnedOptimizer(module, settings("kfac", window=0.5))
    with pytest.raises(RuntimeError, match=r"Call module.train\(\) before"):
        wrong(module, optimizer)


@pytest.mark.parametrize(
    "make, error, match",
    [
        (lambda m: LearnedOptimizer(m, settings("adam"), lr=-1), ValueError, "'lr' parameter"),
        (lambda m: LearnedOptimizer(m, settings("adam"), n_steps=0), ValueError, "'n_steps'"),
        (
            lambda m: LearnedOptimizer(nn.DataParallel(m), settings("adam")),
            ValueError,
            "attach to module.module",
        ),
        (
            lambda m: LearnedOptimizer(
                [{"params": m.parameters(), "weight_decay": 0.1}], settings("adam")
            ),
            ValueError,
            "Got .'weight_decay'.: what else there is was learned",
        ),
        (
            lambda m: LearnedOptimizer(m.parameters(), settings("adam")).attach(network()),
            ValueError,
            "one without 4 of 4, the first of shape",
        ),
        (lambda m: LearnedOptimizer(nn.ReLU(), settings("adam")), ValueError, "without parameters"),
        (
            lambda m: LearnedOptimizer(m, settings("adam")).add_param_group({"params": []}),
            ValueError,
            "attached to a module",
        ),
        (
            lambda m: LearnedOptimizer(m, settings("adam")).load_state_dict(
                torch.optim.Adam(m.parameters()).state_dict()
            ),
            ValueError,
            "not one of a LearnedOptimizer",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, error, match):
    with pytest.raises(error, match=match):
        make(network())


def test_states_of_others_are_refused():
    module = network()
    optimizer = LearnedOptimizer(module, settings("kfac"))
    train(module, optimizer, 2)
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="its method is 'kfac', here it is 'adam'"):
        LearnedOptimizer(network(), settings("adam")).load_state_dict(state)
    wider = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 2)).double()
    with pytest.raises(ValueError, match="a tensor of shape"):
        LearnedOptimizer(wider, settings("kfac")).load_state_dict(state)


def test_groups_with_other_rates_are_refused():
    module = network()
    groups = [{"params": module[0].parameters(), "lr": 1.0}, {"params": module[2].parameters()}]
    optimizer = LearnedOptimizer(groups, settings("adam"), lr=0.5).attach(module)
    with pytest.raises(ValueError, match="must be the same for all parameter groups"):
        train(module, optimizer, 1)


def test_sparse_gradients_are_refused():
    module = nn.Sequential(nn.Embedding(9, 2, sparse=True), nn.Flatten(), nn.Linear(4, 2))
    optimizer = LearnedOptimizer(module, settings("adam"))
    module(torch.zeros(3, 2, dtype=torch.long)).sum().backward()
    with pytest.raises(ValueError, match="That of '0.weight' is sparse"):
        optimizer.step()
