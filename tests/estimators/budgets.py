"""A table with a gap, and the classifier with a budget on it."""

import pickle

from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skmeta import EditedClassifier
from skmeta.datasets import make_biased_classification

NETWORK = MLPClassifier((16,), early_stopping=True)


def people():
    """X, y and groups, each of training and test rows."""
    bunch = make_biased_classification(6000, gap=0.3, proxy_strength=4.0, random_state=0)
    X = bunch.data.drop(columns="group")
    return train_test_split(X, bunch.target, bunch.sensitive_features["group"], random_state=0)


def fit(table, estimator=NETWORK, **params):
    """With one kind of candidates, which is enough for most tests and takes two thirds as long."""
    X, _, y, _, groups, _ = table
    params = {"random_state": 0, "method": "finetune", **params}
    return EditedClassifier(estimator, **params).fit(X, y, sensitive_features=groups)


def copied(fitted):
    return pickle.loads(pickle.dumps(fitted))
