"""Codes of what a network is made of; they have room for kinds that are added later."""

from __future__ import annotations

import torch
from torch import Tensor

from skmeta.networks import ACTIVATIONS, NORMS, Architecture
from skmeta.population import Stack

N_ACTIVATIONS, N_NORMS, MAX_DEPTH_CODE = 16, 8, 6
"""Places for activations, normalisations and distances: part of what a saved metanetwork is."""

N_CODES = N_ACTIVATIONS + N_NORMS + 2 * MAX_DEPTH_CODE + 3


def structure_codes(stack: Stack) -> Tensor:
    """Return codes of all states, ``(n, n_states, N_CODES)``.

    Activation, normalisation, distance to input and output, kinds of layers (appendix A.3.1 of
    the paper on learned editing).
    """
    key = ("codes", stack.device, stack.dtype)
    if key not in stack._cache:
        known = {a: _structure_code(a) for a in dict.fromkeys(stack.architectures)}
        rows = [known[a] for a in stack.architectures]
        stack._cache[key] = torch.tensor(rows, dtype=stack.dtype, device=stack.device)
    return stack._cache[key]


def _structure_code(architecture: Architecture) -> list[list[float]]:
    codes = []
    for state, layer in enumerate((None, *architecture.layers)):
        code = [0.0] * N_CODES
        from_input = N_ACTIVATIONS + N_NORMS
        from_output = from_input + MAX_DEPTH_CODE
        code[from_input + min(state, MAX_DEPTH_CODE - 1)] = 1.0
        code[from_output + min(architecture.depth - state, MAX_DEPTH_CODE - 1)] = 1.0
        if layer is not None:
            code[ACTIVATIONS.index(layer.activation)] = 1.0
            code[N_ACTIVATIONS + NORMS.index(layer.norm)] = 1.0
            code[-3:] = map(float, (layer.norm_after, layer.skip_before, bool(layer.skips)))
        codes.append(code)
    return codes


def activation_shares(stack: Stack) -> Tensor:
    """Share of each network's hidden layers with each activation, ``(n, N_ACTIVATIONS)``."""
    key = ("activation shares", stack.device, stack.dtype)
    if key not in stack._cache:
        rows = []
        for architecture in stack.architectures:
            hidden = [layer.activation for layer in architecture.layers[:-1]]
            shares = [hidden.count(a) / max(1, len(hidden)) for a in ACTIVATIONS]
            rows.append(shares + [0.0] * (N_ACTIVATIONS - len(ACTIVATIONS)))
        stack._cache[key] = torch.tensor(rows, dtype=stack.dtype, device=stack.device)
    return stack._cache[key]
