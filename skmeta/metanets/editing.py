"""What all editing metanetworks share: encodings at the start, the form of the edit at the end."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.metanets.inputs import WeightGraph, n_node_inputs
from skmeta.population import Parameters


def mlp(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    """Two linear maps with a SiLU between them."""
    return nn.Sequential(nn.Linear(n_in, hidden), nn.SiLU(), nn.Linear(hidden, n_out))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the true neurons, ``(n, width, c) -> (n, c)``."""
    return (values * mask).sum(1) / mask.sum(1)


def encode_neurons(
    graph: WeightGraph, encode: nn.Module, input_code: Tensor, output_code: Tensor
) -> list[Tensor]:
    """Return first states of all neurons, ``(n, width, c)`` per state.

    Codes ``(width, c)`` of the inputs and outputs tell these apart.
    """
    states = [encode(x) for x in graph.node_inputs()]
    for index, code in ((0, input_code), (-1, output_code)):
        states[index] = states[index] + code[: states[index].shape[1]]
    return [h * m for h, m in zip(states, graph.neuron_masks(), strict=True)]


class EditingMetanet(nn.Module):
    """Base of metanetworks that map weights to edits of them.

    A hidden permutation of a network permutes its edit; inputs and outputs have learned
    encodings, so that they are told apart (appendix A.3.1 of the paper on learned editing
    [1]_). The edit of a layer's weights W is

        gamma * (a * rms(W) * F_1 + b * W * F_2)
            + sum_k s_k * S_k * (0.3 * d_k * F_{2+k} - c_k)

    with per-weight outputs F of the metanetwork, per-layer coefficients a, b, c and d, a
    learned gate gamma that starts at 0.1, and steps S_k (scaled gradients; none without
    them). ``s = r / (1 + r)`` bounds ``r = lam * reach``, the multiple of a step that
    minimises a quadratic model of the objective: learning starts from that edit (c = 1).
    Biases are edited likewise, scales and shifts of normalisations by gamma times an output
    per neuron; gamma is scaled by the graph's ``freedom``.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Sizes of the networks' inputs and outputs.
    n_node_features, n_context, n_steps : int
        Sizes of the features of the weight graphs.
    hidden_channels : int, default=64
        Width of the states.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        n_node_features: int,
        n_context: int,
        n_steps: int,
        *,
        hidden_channels: int = 64,
    ) -> None:
        super().__init__()
        sizes = {"n_inputs": n_inputs, "n_outputs": n_outputs, "hidden_channels": hidden_channels}
        for name, value in sizes.items():
            check_in_range(name, value, owner=type(self).__name__, low=1, kind="int")
        c, self.n_steps = hidden_channels, n_steps
        self.encode = mlp(n_node_inputs(n_node_features, n_steps), c, c)
        self.input_code = nn.Parameter(0.3 * torch.randn(n_inputs, c))
        self.output_code = nn.Parameter(0.3 * torch.randn(n_outputs, c))
        self.encode_context = mlp(n_context + 2 + n_steps, c, c)
        self.n_forms = 2 + n_steps
        self.per_neuron = mlp(c, c, 3 + n_steps)
        self.per_layer = mlp(2 * c, c, 2 + 2 * n_steps)
        self.gamma = nn.Parameter(torch.tensor(0.1))
        self.lead = nn.Parameter(torch.ones(n_steps))
        for head in (self.per_neuron, self.per_layer):
            shrink(head[-1])

    @abstractmethod
    def process(
        self, graph: WeightGraph, states: list[Tensor], context: Tensor, masks: list[Tensor]
    ) -> tuple[list[Tensor], Tensor, list[list[Tensor]]]:
        """Exchange messages.

        Parameters
        ----------
        graph : WeightGraph
            The networks.
        states : list of Tensor
            Encoded neurons, ``(n, width, c)`` per state.
        context : Tensor of shape (n, c)
            Encoded context.
        masks : list of Tensor
            Ones at true neurons, ``(n, width, 1)`` per state.

        Returns
        -------
        tuple
            New states and context of the same shapes, and for each layer ``n_forms``
            outputs per weight, ``(n, out, in)``.
        """

    def forward(self, graph: WeightGraph, lam: Tensor) -> Parameters:
        """Return the edit of each network.

        Parameters
        ----------
        graph : WeightGraph
            ``n`` networks of one depth.
        lam : Tensor of shape (n,)
            Weight of the violation.

        Returns
        -------
        edit : Parameters
            What to add to the networks' parameters; zero at padding, where a network
            has no parameter, and where the graph's ``free`` is zero.
        """
        masks = graph.neuron_masks()
        wanted = lam[:, None] * graph.reach
        logs = [torch.log10(lam)[:, None], wanted.clamp(1e-4, 1e4).log10()]
        context = self.encode_context(torch.cat([graph.context, lam[:, None], *logs], -1))
        states = encode_neurons(graph, self.encode, self.input_code, self.output_code)
        states, context, forms = self.process(graph, states, context, masks)
        strength = 1 - 1 / (1 + wanted)
        layers = []
        for i, layer_forms in enumerate(forms):
            pooled = masked_mean(states[i + 1], masks[i + 1])
            coefficients = self.per_layer(torch.cat([context, pooled], -1))
            neuron = self.per_neuron(states[i + 1])
            layers.append(self._edit_layer(graph, i, coefficients, neuron, layer_forms, strength))
        edit = Parameters(*(tuple(field) for field in zip(*layers, strict=True)))
        edit = edit.map(torch.mul, graph.stack.trainable())
        weight = tuple(e * m for e, m in zip(edit.weight, graph.free, strict=True))
        return edit._replace(weight=weight)

    def _edit_layer(
        self,
        graph: WeightGraph,
        index: int,
        coefficients: Tensor,
        neuron: Tensor,
        forms: list[Tensor],
        strength: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the edits of weight, bias, scale and shift of one layer."""
        k = self.n_steps
        a, b = (1 + coefficients[:, :2, None, None]).unbind(1)
        along = -strength * (self.lead + coefficients[:, 2 : 2 + k])
        sway = 0.3 * strength * (1 + coefficients[:, 2 + k :])
        scale, weight = graph.weight_scales[index], graph.stack.params.weight[index]
        gamma = self.gamma * graph.freedom[:, None, None]
        delta = gamma * (a * scale * forms[0] + b * weight * forms[1])
        outputs = neuron.unbind(-1)
        bias, scale_edit, shift_edit = (gamma[..., 0] * output for output in outputs[:3])
        bias = bias * scale[:, 0]
        for j, step in enumerate(graph.steps):
            multiple = along[:, j, None, None] + sway[:, j, None, None] * forms[2 + j]
            delta = delta + step.weight[index] * multiple
            bend = along[:, j, None] + sway[:, j, None] * outputs[3 + j]
            bias = bias + step.bias[index] * bend
        return delta, bias, scale_edit, shift_edit


def shrink(linear: nn.Module) -> None:
    """Let the output of a last layer start near zero."""
    assert isinstance(linear, nn.Linear)
    nn.init.zeros_(linear.bias)
    linear.weight.data.mul_(0.1)


def skip_messages(
    graph: WeightGraph,
    upward: list[Tensor],
    downward: list[Tensor],
    from_below: list[Tensor],
    from_above: list[Tensor],
) -> None:
    """Add messages along skip connections, which tie neuron i of two states, in place.

    ``upward[s]`` is what state s sends to later states, ``downward[t]`` what t sends back.
    """
    stack = graph.stack
    for index in range(stack.depth):
        target = index + 1
        for before in (False, True):
            for source, rows in stack.skips(index, before=before):
                gate = upward[0].new_ones(len(stack), 1, 1)
                if rows is not None:
                    gate = torch.zeros_like(gate).index_fill(0, rows, 1.0)
                up = fit_width(upward[source], from_below[target]) * gate
                down = fit_width(downward[target], from_above[source]) * gate
                # Padding sends nothing, and neurons beyond the source's receive nothing.
                down = down * graph.neuron_masks()[source]
                from_below[target] = from_below[target] + up
                from_above[source] = from_above[source] + down


def fit_width(values: Tensor, like: Tensor) -> Tensor:
    """Pad or cut the neurons of ``(n, width, c)`` to those of another state."""
    return nn.functional.pad(values, (0, 0, 0, like.shape[1] - values.shape[1]))
