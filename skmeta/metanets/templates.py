"""What a metanetwork is built for, without numbers: templates of networks and blank graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from skmeta.files.checks import expect
from skmeta.metanets.inputs import WeightGraph
from skmeta.networks import Architecture, Record
from skmeta.population import Stack
from skmeta.population.direction import Direction

# To build a metanetwork for them takes time.
_MOST_LAYERS = 2000


def template(architecture: Architecture) -> Architecture:
    """Return what decides how a metanetwork is built: all but hidden widths, skips and dropout."""
    *hidden, last = (replace(x, skips=(), dropout=0.0) for x in architecture.layers)
    layers = [*(replace(layer, width=1) for layer in hidden), last]
    return replace(architecture, layers=tuple(layers))


def check_templates(claimed: Sequence[Architecture]) -> None:
    """Refuse architectures of a file that are none, or too many."""
    good = len(claimed) > 0 and all(template(a) == a for a in claimed)
    expect(good, "there are no templates")
    n_layers = sum(a.depth for a in claimed)
    expect(n_layers <= _MOST_LAYERS, f"the templates have more than {_MOST_LAYERS} layers")


def blank_graphs(architectures: Iterable[Architecture], like: WeightGraph) -> list[WeightGraph]:
    """Return graphs of networks of zeros, one each, with as many features as another graph."""
    graphs = []
    for architecture in architectures:
        stack = Stack.from_records([Record.blank(architecture)])
        params = stack.params
        graph = WeightGraph.bare(stack)
        nodes = (x.new_zeros(1, x.shape[1], like.nodes[0].shape[2]) for x in graph.nodes)
        counts = like.context.shape[1], len(like.steps)
        context, reach = (graph.context.new_zeros(1, count) for count in counts)
        steps = (Direction(params.weight, params.bias) for _ in like.steps)
        graphs.append(
            replace(graph, nodes=tuple(nodes), steps=tuple(steps), context=context, reach=reach)
        )
    return graphs
