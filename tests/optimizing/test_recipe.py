"""Numbers of recipes, their scales, and what becomes of them."""

import pytest
import torch

from skmeta.optimizing import Recipe
from skmeta.optimizing.recipe import BASES, SCALES
from skmeta.training import RULES, Kfac


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_goes_from_its_lowest_value_to_its_highest(name):
    scale = SCALES[name]
    values = scale.at(torch.linspace(0, 1, 11, dtype=torch.float64))
    assert values[0] == scale.low
    assert values[-1].item() == pytest.approx(scale.high, rel=1e-12)
    assert (values.diff() > 0).all()
    steps = values.log().diff() if scale.log else values.diff()
    torch.testing.assert_close(steps, steps[:1].expand(10), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_finds_the_place_of_its_start(name):
    scale = SCALES[name]
    assert 0 < scale.place < 1
    found = scale.at(torch.tensor(scale.place, dtype=torch.float64)).item()
    assert found == pytest.approx(scale.start, rel=1e-12)


@pytest.mark.parametrize("base", BASES)
def test_a_recipe_starts_where_its_scales_start(base):
    recipe = Recipe.start(base, 3)
    assert len(recipe) == 3
    assert recipe.floats == 3 * [{name: SCALES[name].start for name in BASES[base][1]}]
    places = torch.tensor([[SCALES[name].place for name in BASES[base][1]]])
    for mine, theirs in zip(
        Recipe.at(base, places.double()).numbers.values(), recipe.numbers.values(), strict=True
    ):
        # Places were rounded to float32, and scales span up to six powers of ten.
        torch.testing.assert_close(mine, theirs[:1], rtol=1e-5, atol=0)


def test_places_belong_to_networks_and_numbers_in_order():
    units = torch.tensor([[0, 0.5, 1, 0, 1], [1, 0, 0, 1, 0]], dtype=torch.float32)
    low, high = Recipe.at("kfac", units).floats
    assert low["lr"] == SCALES["lr"].low and high["lr"] == pytest.approx(3.0, rel=1e-12)
    assert low["decay"] == 1.0 and high["decay"] == 0.0
    assert low["window"] == pytest.approx(0.5, rel=1e-12) and high["window"] == 1e-3
    assert low["weight_decay"] == 1e-6 and high["damping"] == 1e-3
    with pytest.raises(ValueError, match="zip"):
        Recipe.at("adam", units)


def test_networks_can_be_selected():
    recipe = Recipe.at("adam", torch.linspace(0, 1, 12).view(3, 4))
    for index in ([2, 0], torch.tensor([2, 0])):
        part = recipe.select(index)
        assert part.base == "adam" and len(part) == 2
        assert part.floats == [recipe.floats[2], recipe.floats[0]]


def test_numbers_survive_being_read_and_given_again():
    (numbers,) = Recipe.at("kfac", torch.rand(1, 5, generator=torch.Generator())).floats
    assert Recipe.of("kfac", numbers, 2).floats == [numbers, numbers]


def test_moving_changes_the_type_of_all_numbers():
    recipe = Recipe.start("kfac", 2).to("cpu", torch.float32)
    assert {v.dtype for v in recipe.numbers.values()} == {torch.float32}
    assert recipe.rule.damping.dtype == torch.float32


def test_each_network_has_its_own_damping():
    recipe = Recipe.at("kfac", torch.tensor([[0.5] * 5, [0.5] * 4 + [1.0]]))
    assert isinstance(recipe.rule, Kfac)
    assert recipe.rule.damping is recipe.numbers["damping"]
    assert recipe.rule.damping[1] > 10 * recipe.rule.damping[0]


@pytest.mark.parametrize("base", ["adam", "muon", "sgdm"])
def test_other_rules_are_those_of_training(base):
    assert Recipe.start(base).rule is RULES[BASES[base][0]]


def test_schedules_have_the_numbers_of_the_recipe():
    one = {"lr": 0.1, "decay": 2.0, "window": 0.2, "weight_decay": 0.0}
    recipe = Recipe.of("adam", one, 2)
    recipe.numbers["decay"][1], recipe.numbers["window"][1] = 0.0, 0.001
    schedule = recipe.schedule(100)
    factors = torch.cat([schedule.factor(t) for t in (0, 1, 50, 99, 500)], 1)
    wanted = [[0.5, 0.99**2, 0.25, 1e-4, 1e-4], [0.5, 1, 1, 1, 1]]
    torch.testing.assert_close(factors, torch.tensor(wanted, dtype=torch.float64))
    shares = torch.cat([schedule.share(t) for t in (0, 1, 9, 50)], 1)
    wanted = [[1, 1 / 2, 1 / 10, 1 / 20], [1, 1, 1, 1]]
    torch.testing.assert_close(shares, torch.tensor(wanted, dtype=torch.float64))
