"""The scikit-learn estimators over populations."""

from skmeta.estimators.compliance_editor import ComplianceEditor

__all__ = ["ComplianceEditor"]
