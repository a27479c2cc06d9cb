"""The scikit-learn estimators over populations."""

from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.estimators.edited_classifier import EditedClassifier

__all__ = ["ComplianceEditor", "EditedClassifier"]
