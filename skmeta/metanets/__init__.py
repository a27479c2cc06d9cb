"""Equivariant networks over weights (pure torch)."""

from skmeta.metanets.editing import EditingMetanet
from skmeta.metanets.graph import GraphMetanet
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.neuron import NeuronMetanet
from skmeta.metanets.statistics import StatNN, statistic_names, weight_statistics

METANETS = {"graph": GraphMetanet, "neuron": NeuronMetanet}
"""Metanetworks by name."""

READERS = {"statistics": StatNN}
"""Readers by name: metanetworks that map a stack of networks to numbers."""

__all__ = [
    "METANETS",
    "READERS",
    "EditingMetanet",
    "GraphMetanet",
    "NeuronMetanet",
    "StatNN",
    "WeightGraph",
    "statistic_names",
    "weight_statistics",
]
