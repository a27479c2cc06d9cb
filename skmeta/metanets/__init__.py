"""Equivariant networks over weights (pure torch)."""

from skmeta.metanets.editing import EditingMetanet
from skmeta.metanets.graph import GraphMetanet
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.neuron import NeuronMetanet
from skmeta.metanets.nf_layer import NFLayer

METANETS = {"graph": GraphMetanet, "neuron": NeuronMetanet}
"""Metanetworks by name."""

__all__ = ["METANETS", "EditingMetanet", "GraphMetanet", "NFLayer", "NeuronMetanet", "WeightGraph"]
