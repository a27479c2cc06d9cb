"""scikit-learn for trained neural networks: every sample is a network."""

from skmeta.datasets import Task
from skmeta.estimators import (
    ComplianceEditor,
    CurvatureRegressor,
    EditedClassifier,
    GradientMetaOptimizer,
    WeightSpaceClassifier,
    WeightSpaceRegressor,
    WeightStatistics,
    load,
    save,
)
from skmeta.evaluation import ParetoFrontDisplay
from skmeta.population import Population
from skmeta.zoo import make_zoo

__version__ = "0.1.0"

__all__ = [
    "ComplianceEditor",
    "CurvatureRegressor",
    "EditedClassifier",
    "GradientMetaOptimizer",
    "ParetoFrontDisplay",
    "Population",
    "Task",
    "WeightSpaceClassifier",
    "WeightSpaceRegressor",
    "WeightStatistics",
    "load",
    "make_zoo",
    "save",
]
