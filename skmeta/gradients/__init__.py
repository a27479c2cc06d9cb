"""Gradients of populations, kept as factors."""

from skmeta.gradients.factors import Recording

__all__ = ["Recording"]
