"""Values as plain JSON types and tensors, and back."""

import json

import numpy as np
import pytest
import torch

from skmeta.files import FileError
from skmeta.files.checks import fits
from skmeta.files.codec import copied, decode, encode
from skmeta.networks import Architecture
from skmeta.networks.saving import ESTIMATORS
from skmeta.requirements import EqualizedOdds, Joint
from skmeta.requirements.saving import REQUIREMENTS

KINDS = (Architecture, *ESTIMATORS, *REQUIREMENTS)


def test_what_json_lacks_comes_back():
    value = {
        "plain": [None, True, 3, 0.5, "ü", [], {}],
        "nested": ((1, [2.0, ("a",)]), {"b": (None,)}),
        "numpy": (np.float32(0.1), np.int64(2**40), np.str_("x"), np.bool_(True)),
        "architecture": Architecture.cnn((1, 6, 6), (2, 3), 2, stride=2),
    }
    back = copied(value, "Test", KINDS)
    assert back == value and type(back["nested"][0][1]) is list
    assert type(back["numpy"][0]) is float and back["numpy"][0] == np.float32(0.1)


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a", "bcd"]),
        np.array([1, "b", None], dtype=object),
        np.array([0.1, 2], dtype=np.float32),
        np.array([2**64 - 1], dtype=np.uint64),
        np.zeros(0, dtype=bool),
    ],
)
def test_arrays_keep_their_type(array):
    back = copied(array, "Test", ())
    assert back.dtype == array.dtype and np.array_equal(back, array)


def test_tensors_stand_in_a_table_under_their_paths():
    first, second = torch.zeros(2, 3), torch.ones(0, dtype=torch.int64)
    plain, tensors = encode({"a": [first], "b": {"c.d": (second,)}}, "Test")
    assert tensors == {"a.0": first, "b.c.d.0": second}
    assert json.loads(json.dumps(plain))["a"] == [{"!tensor": None}]
    back = decode(plain, tensors, ())
    assert back["a"][0] is first and back["b"]["c.d"][0] is second
    for others in ({"a.0": first}, {**tensors, "x": first}):
        with pytest.raises(FileError, match="missing or too many"):
            decode(plain, others, ())
    with pytest.raises(FileError, match="two tensors have one name"):
        encode({"a": {"b": first}, "a.b": second}, "Test")


@pytest.mark.parametrize(
    "value",
    [
        *({"!os.system": "rm"}, {"!Architecture": []}, {"!tuple": 3}, {"!tuple": {}}),
        *({"!array": []}, {"!array": ["O", 3]}, {"!array": ["V8", [1]]}, {"!array": ["U", [1]]}),
        *({"!array": ["int8", [1.5]]}, {"!array": ["int64", [[1]]]}, {"!array": [["U"], []]}),
        *({"!tuple": [], "x": 1}, {"!tensor": None}, {"!EqualizedOdds": {}}, [float("nan")]),
        {"!Joint": {"requirements": [3], "weights": [1]}},
    ],
)
def test_what_is_no_value_is_refused(value):
    with pytest.raises(FileError):
        decode(value, {}, KINDS)
    with pytest.raises(FileError):
        decode({"x": [value]}, {}, KINDS)


def test_only_what_is_expected_is_built():
    plain, tensors = encode([Joint([EqualizedOdds()], [1.0])], "Test")
    (joint,) = decode(plain, tensors, KINDS)
    assert repr(joint) == repr(Joint([EqualizedOdds()], [1.0]))
    with pytest.raises(FileError, match="no known kind"):
        decode(plain, tensors, (Joint,))


def test_code_and_other_things_are_refused_by_name():
    class Own(EqualizedOdds):
        pass

    for value in (len, Own(), EqualizedOdds):
        with pytest.raises(ValueError, match="'a__b' of Test cannot be saved, because it is code"):
            encode({"params": {"a": [{"b": value}]}}, "Test")
    for value, name in ((object(), "object"), (np.zeros((2, 2)), "ndarray"), ({"!x": 1}, "dict")):
        with pytest.raises(ValueError, match=f"'a' of Test cannot be saved: it holds a {name}"):
            encode({"a": value}, "Test")


@pytest.mark.parametrize(
    "value, hint, good",
    [
        (3, int, True),
        (True, int, False),
        (3, float, True),
        (False, float, False),
        (None, int | None, True),
        ("a", int | None, False),
        ([1, 2], list[int], True),
        ([1, "a"], list[int], False),
        ((1, "a"), tuple[int, str], True),
        ((1,), tuple[int, str], False),
        ((1, 2, 3), tuple[int, ...], True),
        ((1, None), tuple[int, ...], False),
        ({"a": 1.0}, dict[str, float], True),
        ({"a": "b"}, dict[str, float], False),
        (np.zeros(1), np.ndarray | None, True),
        ({"a": []}, dict, True),
    ],
)
def test_values_are_checked_by_annotated_types(value, hint, good):
    assert fits(value, hint) == good
