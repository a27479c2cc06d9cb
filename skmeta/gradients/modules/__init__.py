"""Gradients of each sample of a live module, as factors."""

from skmeta.gradients.modules.factors import ModuleFactors
from skmeta.gradients.modules.recording import record

__all__ = ["ModuleFactors", "record"]
