"""Equivariant networks over weights (pure torch)."""

from skmeta.metanets.editing import EditingMetanet
from skmeta.metanets.graph import GraphMetanet
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.neuron import NeuronMetanet

METANETS = {"graph": GraphMetanet, "neuron": NeuronMetanet}
"""Metanetworks by name."""

__all__ = ["METANETS", "EditingMetanet", "GraphMetanet", "NeuronMetanet", "WeightGraph"]
