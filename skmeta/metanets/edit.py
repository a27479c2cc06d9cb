"""The head that edits: :class:`Edit`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.neurons import Neurons
from skmeta.metanets.trunk import Encoded, Trunk, mlp
from skmeta.population import Weights

_RANK = 16


class Edit(nn.Module):
    """Head that maps the states of a trunk to edits of the networks.

    The edit of a layer's weights W is

        gamma * (a * rms(W) * F_1 + b * W * F_2)
            + sum_k s_k * S_k * (0.3 * d_k * F_{2+k} - c_k)

    with per-weight outputs F of the metanetwork, per-layer coefficients a, b, c and d, a
    learned gate gamma that starts at 0.1, and steps S_k (scaled gradients; none without
    them). ``s = r / (1 + r)`` bounds ``r = lam * reach``, the multiple of a step that
    minimises a quadratic model of the objective: learning starts from that edit (c = 1).
    Biases are edited likewise, scales and shifts of normalisations by gamma times an output
    per neuron; gamma is scaled by the graph's ``freedom``.

    The outputs per weight are linear in its state if the trunk has states of weights, else
    low-rank bilinear forms of the states at its two ends. A permutation of hidden neurons permutes
    the edit. A scaling of them scales the edit behind a "monomial" trunk, if all that the graph
    has beside the weights is invariant and steps scale as the weights do; the features "weights" of
    :class:`~skmeta.ComplianceEditor` are so, others are not.

    Parameters
    ----------
    trunk : Trunk
        Whose states are used.
    n_steps : int
        Number of steps S_k of the graphs.
    n_edits : int, default=1
        Take the mean of so many edits, each with outputs and coefficients of its own.
    """

    def __init__(self, trunk: Trunk, n_steps: int, *, n_edits: int = 1) -> None:
        super().__init__()
        check_in_range("n_edits", n_edits, owner="Edit", low=1, kind="int")
        c, self.n_steps, self.n_edits = trunk.channels, n_steps, n_edits
        forms = EdgeForms if trunk.has_edges else EndForms
        self.forms = forms(c, 2 + n_steps, n_edits)
        self.per_neuron = mlp(c, c, n_edits * (3 + n_steps))
        self.per_layer = mlp(2 * c, c, n_edits * (2 + 2 * n_steps))
        self.gamma = nn.Parameter(torch.tensor(0.1))
        self.lead = nn.Parameter(torch.ones(n_steps))
        for head in (self.per_neuron, self.per_layer):
            shrink(head[-1])

    @staticmethod
    def n_given(graph: WeightGraph) -> int:
        """Count the numbers that go with a network into the trunk.

        Parameters
        ----------
        graph : WeightGraph
            Of the networks.

        Returns
        -------
        int
            Numbers per network.
        """
        return graph.context.shape[1] + 2 + len(graph.steps)

    def forward(self, trunk: Trunk, graph: WeightGraph, lam: Tensor) -> Weights:
        """Return the edit of each network.

        Parameters
        ----------
        trunk : Trunk
            The one that the head was built for.
        graph : WeightGraph
            ``n`` networks of one depth.
        lam : Tensor of shape (n,)
            Weight of the violation.

        Returns
        -------
        edit : Weights
            What to add to the networks' weights; zero at padding, where a network
            has no parameter, and where the graph's ``free`` is zero.
        """
        wanted = lam[:, None] * graph.reach
        logs = [torch.log10(lam)[:, None], wanted.clamp(1e-4, 1e4).log10()]
        encoded = trunk.encode(graph, torch.cat([graph.context, lam[:, None], *logs], -1))
        strength = (1 - 1 / (1 + wanted))[:, None, None]  # (n, 1, 1, n_steps)
        neurons = Neurons.of(graph.stack)
        means = neurons.means(encoded.neurons)[:, 1:]
        whole = encoded.context[:, None].expand(-1, means.shape[1], -1)
        coefficients = self.per_layer(torch.cat([whole, means], -1))
        coefficients = coefficients.unflatten(-1, (self.n_edits, -1))
        k = self.n_steps
        gamma = (self.gamma * graph.freedom)[:, None, None, None]
        ab = gamma * (1 + coefficients[..., :2])
        sway = 0.3 * strength * (1 + coefficients[..., 2 + k :])
        along = -(strength * (self.lead + coefficients[..., 2 : 2 + k])).mean(2)
        weights = self._weights(graph, neurons, encoded, torch.cat([ab, sway], -1), along)
        vectors = self._vectors(graph, neurons, encoded, gamma, sway, along)
        layout, tensors = graph.stack.weights.layout, {}
        for i, (weight, free) in enumerate(zip(weights, graph.free, strict=True)):
            tensors[f"{i}.weight"] = weight * free
            for name, vector in zip(("bias", "scale", "shift"), vectors, strict=True):
                tensors[f"{i}.{name}"] = vector[i]
        return Weights.of(layout, tensors) * graph.stack.present()

    def _weights(
        self,
        graph: WeightGraph,
        neurons: Neurons,
        encoded: Encoded,
        factors: Tensor,
        along: Tensor,
    ) -> list[Tensor]:
        """Return the edits of the weights of each layer."""
        if encoded.units is None:
            # A number per layer goes into the factors, which are smaller than the forms.
            first = factors[..., :1] * graph.weight_scales[:, :, None, None]
            factors = torch.cat([first, factors[..., 1:]], -1)
        edits = []
        for i, forms in enumerate(self.forms(neurons, encoded, factors)):
            first, second, *others = forms.unbind(1)
            if encoded.units is not None:
                first = first * encoded.units[i][0]
            edit = torch.addcmul(first, graph.stack.weights[f"{i}.weight"], second)
            for j, (step, form) in enumerate(zip(graph.steps, others, strict=True)):
                edit = torch.addcmul(edit, step[f"{i}.weight"], form + along[:, i, j, None, None])
            edits.append(edit)
        return edits

    def _vectors(
        self,
        graph: WeightGraph,
        neurons: Neurons,
        encoded: Encoded,
        gamma: Tensor,
        sway: Tensor,
        along: Tensor,
    ) -> list[tuple[Tensor, ...]]:
        """Return the edits of biases, scales and shifts of each layer."""
        n_inputs = neurons.widths[0]
        outputs = self.per_neuron(encoded.neurons[:, n_inputs:]).unflatten(-1, (self.n_edits, -1))
        plain = gamma[..., 0] * outputs[..., :3].mean(2)
        bias, scale, shift = plain.unbind(-1)
        if encoded.units is None:
            bias = bias * neurons.spread_layers(graph.weight_scales)
        else:
            bias = bias * torch.cat([unit for _, unit in encoded.units], 1)
        if graph.steps:
            bends = (neurons.spread_layers(sway) * outputs[..., 3:]).mean(2)
            bends = (bends + neurons.spread_layers(along)).unbind(-1)
            for step, bend in zip(graph.steps, bends, strict=True):
                bias = torch.addcmul(bias, torch.cat(graph.stack.vectors("bias", step), 1), bend)
        return [tensor.split(neurons.widths[1:], 1) for tensor in (bias, scale, shift)]


class EndForms(nn.Module):
    """Low-rank bilinear forms of the states at both ends of each weight.

    Parameters
    ----------
    channels : int
        Width of the states.
    n_forms : int
        Forms per weight.
    n_edits : int
        Take the mean over so many.
    """

    def __init__(self, channels: int, n_forms: int, n_edits: int) -> None:
        super().__init__()
        self.n_forms, self.n_edits = n_forms, n_edits
        self.left = nn.Linear(channels, n_edits * n_forms * _RANK)
        self.right = nn.Linear(channels, n_edits * n_forms * _RANK)
        shrink(self.right)

    def forward(self, neurons: Neurons, encoded: Encoded, factors: Tensor) -> list[Tensor]:
        """Return forms times factors, ``(n, n_forms, out, in)`` per layer.

        The factors are ``(n, n_layers, n_edits, n_forms)``.
        """
        n_inputs, *others = neurons.widths
        ends = self.n_forms, self.n_edits, _RANK
        left = self.left(encoded.neurons[:, n_inputs:]).unflatten(-1, ends)
        factors = factors.transpose(2, 3) / (_RANK**0.5 * self.n_edits)
        left = left * neurons.spread_layers(factors)[..., None]
        right = self.right(encoded.neurons).unflatten(-1, ends)
        # A mean of products of low rank is one product.
        lefts, rights = left.flatten(3).split(others, 1), neurons.split(right.flatten(3))
        return [
            target.transpose(1, 2) @ source.permute(0, 2, 3, 1)
            for target, source in zip(lefts, rights, strict=False)
        ]


class EdgeForms(nn.Module):
    """Linear forms of the states of the weights.

    Parameters
    ----------
    channels : int
        Width of the states.
    n_forms : int
        Forms per weight.
    n_edits : int
        Take the mean over so many.
    """

    def __init__(self, channels: int, n_forms: int, n_edits: int) -> None:
        super().__init__()
        self.n_forms, self.n_edits = n_forms, n_edits
        self.decode = nn.Linear(channels, n_edits * n_forms)
        shrink(self.decode)

    def forward(self, neurons: Neurons, encoded: Encoded, factors: Tensor) -> list[Tensor]:
        """Return forms times factors, ``(n, n_forms, out, in)`` per layer.

        The factors are ``(n, n_layers, n_edits, n_forms)``.
        """
        assert encoded.edges is not None
        forms = []
        for edges, factor in zip(encoded.edges, factors.unbind(1), strict=True):
            outputs = self.decode(edges).unflatten(-1, (self.n_edits, self.n_forms))
            mean = (outputs * factor[:, None, None]).mean(3)
            forms.append(mean.movedim(3, 1))
        return forms


def shrink(linear: nn.Module) -> None:
    """Let the output of a last layer start near zero."""
    assert isinstance(linear, nn.Linear)
    nn.init.zeros_(linear.bias)
    linear.weight.data.mul_(0.1)
