"""Gradients of populations, kept as factors, and what follows from them in closed form."""

from skmeta.gradients.factors import Recording
from skmeta.gradients.natural import KroneckerFisher
from skmeta.gradients.reconstruction import reconstruct
from skmeta.gradients.saliency import saliency

__all__ = ["KroneckerFisher", "Recording", "reconstruct", "saliency"]
