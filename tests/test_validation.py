"""The one error style, and random states that leave the global generators alone."""

import numpy as np
import pytest
import torch

from skmeta._checks import check_generator, check_in_range, check_option, check_rng


@pytest.mark.parametrize("value, closed", [(0, "both"), (1, "both"), (np.float32(0.5), "neither")])
def test_numbers_inside_the_range_come_back(value, closed):
    assert check_in_range("p", value, owner="Owner", low=0, high=1, closed=closed) is value


@pytest.mark.parametrize(
    "value, error, options, rule",
    [
        (-1, ValueError, {"low": 0}, "a float in the range [0, inf). Got -1 instead."),
        (0.0, ValueError, {"low": 0, "closed": "neither"}, "a float in the range (0, inf)"),
        (1, ValueError, {"low": 0, "high": 1, "closed": "left"}, "in the range [0, 1)"),
        (float("nan"), ValueError, {}, "in the range (-inf, inf). Got nan instead."),
        ("1", TypeError, {"high": 2}, "in the range (-inf, 2]. Got '1' instead."),
        (True, TypeError, {"kind": "int"}, "an int in the range (-inf, inf). Got True instead."),
        (1.0, TypeError, {"kind": "int"}, "an int in the range"),
    ],
)
def test_numbers_outside_the_range(value, error, options, rule):
    with pytest.raises(error) as caught:
        check_in_range("p", value, owner="Owner", **options)
    assert str(caught.value).startswith("The 'p' parameter of Owner must be ")
    assert rule in str(caught.value)


def test_options_suggest_the_nearest():
    assert check_option("p", "graph", ["graph", "neuron"], owner="Owner") == "graph"
    with pytest.raises(ValueError, match="Got 'grph' instead. Did you mean 'graph'?"):
        check_option("p", "grph", ["graph", "neuron"], owner="Owner")
    with pytest.raises(ValueError, match="one of 'graph', 'neuron'. Got 3 instead.$"):
        check_option("p", 3, ["graph", "neuron"], owner="Owner")


def draw(random_state):
    return torch.rand(3, generator=check_generator(random_state)).tolist()


@pytest.mark.parametrize("make", [lambda: 3, np.random.RandomState, np.random.default_rng])
def test_generators_leave_the_global_state_alone(make):
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    torch_before = torch.get_rng_state()
    draw(make())
    draw(None)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_seeds_repeat_and_generators_move_on():
    assert draw(3) == draw(3) == draw(np.int64(3)) != draw(4)
    assert draw(None) != draw(None)
    for make in (np.random.RandomState, np.random.default_rng):
        first, second = make(0), make(0)
        assert draw(first) == draw(second)
        assert draw(first) != draw(make(0))


@pytest.mark.parametrize("random_state", ["seed", -1, 0.5])
def test_bad_random_states(random_state):
    with pytest.raises(ValueError, match="The 'random_state' parameter must be None, an int >= 0"):
        check_rng(random_state)
