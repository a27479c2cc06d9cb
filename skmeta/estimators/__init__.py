"""The scikit-learn estimators over populations."""

from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.estimators.curvature_regressor import CurvatureRegressor
from skmeta.estimators.edited_classifier import EditedClassifier
from skmeta.estimators.gradient_meta_optimizer import GradientMetaOptimizer
from skmeta.estimators.saving import load, save
from skmeta.estimators.weight_space_classifier import WeightSpaceClassifier
from skmeta.estimators.weight_space_regressor import WeightSpaceRegressor
from skmeta.estimators.weight_statistics import WeightStatistics

__all__ = [
    "ComplianceEditor",
    "CurvatureRegressor",
    "EditedClassifier",
    "GradientMetaOptimizer",
    "WeightSpaceClassifier",
    "WeightSpaceRegressor",
    "WeightStatistics",
    "load",
    "save",
]
