"""Docstrings name every parameter, in the order of the signature, and say what comes back.

`make lint` holds all public ones to this; here are those that users missed.
"""

import inspect

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc

import skmeta
from skmeta import baselines
from skmeta.population import Population


def documented(sections, doc):
    return [name for s in sections for p in doc[s] for name in p.name.split(", ")]


@pytest.mark.parametrize(
    "estimator",
    [
        skmeta.WeightSpaceClassifier,
        baselines.AdditiveCorrection,
        baselines.RandomPerturbation,
        baselines.LayerwiseOptimization,
    ],
    ids=lambda estimator: estimator.__name__,
)
def test_a_class_describes_its_parameters_in_the_order_of_the_signature(estimator):
    names = list(inspect.signature(estimator).parameters)
    doc = ClassDoc(estimator, config={"show_class_members": False})
    assert documented(["Parameters"], doc) == names
    assert all(p.type and "".join(p.desc).endswith(".") for p in doc["Parameters"])


@pytest.mark.parametrize(
    "name, returns",
    [
        ("from_records", True),
        ("concatenate", True),
        ("to", True),
        ("predict_proba", True),
        ("save", False),
        ("load", True),
    ],
)
def test_a_method_of_population_describes_its_parameters_and_what_it_returns(name, returns):
    method = getattr(Population, name)
    doc = FunctionDoc(method)
    names = [n for n in inspect.signature(method).parameters if n != "self"]
    assert documented(["Parameters"], doc) == names
    assert bool(doc["Returns"]) == returns
