"""Equivariant networks over weights (pure torch)."""

from skmeta.metanets.edit import Edit
from skmeta.metanets.gradient_sets import (
    GradientSet,
    GradMetaNet,
    GradMetaNetPlusPlus,
    PerNetwork,
    PerWeight,
)
from skmeta.metanets.gradient_trunk import GradientTrunk
from skmeta.metanets.gradient_weights import GradientWeights
from skmeta.metanets.graph import GraphTrunk
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.invariant import InvariantPool, IOEncoding
from skmeta.metanets.metanet import EDITING_TRUNKS, TRUNKS, Metanet
from skmeta.metanets.monomial import MonomialLayer
from skmeta.metanets.neuron import NeuronTrunk
from skmeta.metanets.nf_layer import NFLayer
from skmeta.metanets.nfn import NFN
from skmeta.metanets.quasi import Quasi, QuasiScaling
from skmeta.metanets.read import Read
from skmeta.metanets.sample_weights import SampleStates, SampleWeights
from skmeta.metanets.statistics import StatNN, statistic_names, weight_statistics
from skmeta.metanets.trunk import Encoded, Trunk

__all__ = [
    "EDITING_TRUNKS",
    "NFN",
    "TRUNKS",
    "Edit",
    "Encoded",
    "GradMetaNet",
    "GradMetaNetPlusPlus",
    "GradientSet",
    "GradientTrunk",
    "GradientWeights",
    "GraphTrunk",
    "IOEncoding",
    "InvariantPool",
    "Metanet",
    "MonomialLayer",
    "NFLayer",
    "NeuronTrunk",
    "PerNetwork",
    "PerWeight",
    "Quasi",
    "QuasiScaling",
    "Read",
    "SampleStates",
    "SampleWeights",
    "StatNN",
    "Trunk",
    "WeightGraph",
    "statistic_names",
    "weight_statistics",
]
