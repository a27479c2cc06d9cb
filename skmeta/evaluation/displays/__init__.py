"""Pictures in scikit-learn's Display style: fronts, edits and the rates of groups."""

from skmeta.evaluation.displays.edit import EditDisplay
from skmeta.evaluation.displays.group_rates import GroupRatesDisplay
from skmeta.evaluation.displays.pareto import ParetoFrontDisplay

__all__ = ["EditDisplay", "GroupRatesDisplay", "ParetoFrontDisplay"]
