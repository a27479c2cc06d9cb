"""Gradients of populations, kept as factors, and what follows from them in closed form."""

from skmeta.gradients.factors import Factors
from skmeta.gradients.fisher import FisherSamples
from skmeta.gradients.modules import ModuleFactors, record
from skmeta.gradients.natural import KroneckerFisher
from skmeta.gradients.program import Program, Trace
from skmeta.gradients.reconstruction import reconstruct
from skmeta.gradients.recording import Recording
from skmeta.gradients.saliency import saliency

__all__ = [
    "Factors",
    "FisherSamples",
    "KroneckerFisher",
    "ModuleFactors",
    "Program",
    "Recording",
    "Trace",
    "reconstruct",
    "record",
    "saliency",
]
