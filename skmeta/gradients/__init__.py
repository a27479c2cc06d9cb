"""Gradients of populations, kept as factors."""

from skmeta.gradients.factors import Recording
from skmeta.gradients.natural import KroneckerFisher

__all__ = ["KroneckerFisher", "Recording"]
