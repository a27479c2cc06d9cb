"""Random weight-space features and what symmetries do to them."""

import torch

# Names of cases, widths, filter shapes.
CASES = {
    "one layer": ((3, 2), None),
    "two layers": ((2, 4, 3), None),
    "three layers": ((2, 4, 3, 2), None),
    "four layers": ((3, 2, 4, 3, 2), None),
    "conv": ((1, 3, 4, 2), ((3, 3), (1, 2), ())),
    "conv, wide input": ((2, 3, 2, 3, 2), ((2, 2), (3, 1), (2, 2), ())),
}


def draw_features(sizes, kernels=None, batch=3, channels=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    kernels = kernels or [()] * (len(sizes) - 1)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=g)

    pairs = list(zip(sizes, sizes[1:], kernels, strict=False))
    weights = [draw(batch, channels, out, inp, *kernel) for inp, out, kernel in pairs]
    return weights, [draw(batch, channels, out) for _, out, _ in pairs]


def draw_permutations(sizes, states, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [
        torch.randperm(n, generator=g) if s in states else torch.arange(n)
        for s, n in enumerate(sizes)
    ]


def move(weights, biases, permutations):
    pairs = list(zip(permutations, permutations[1:], strict=False))
    weights = [w[:, :, out][:, :, :, inp] for w, (inp, out) in zip(weights, pairs, strict=True)]
    return weights, [b[:, :, out] for b, (_, out) in zip(biases, pairs, strict=True)]


def scale(weights, biases, factors):
    pairs = list(zip(factors, factors[1:], strict=False))
    scaled = []
    for w, (inp, out) in zip(weights, pairs, strict=True):
        shape = [1] * (w.ndim - 4)
        scaled.append(w * out.view(-1, 1, *shape) / inp.view(-1, *shape))
    return scaled, [b * out for b, (_, out) in zip(biases, pairs, strict=True)]


def pad(weights, biases, extra):
    """Append zeros to the neurons of each state."""
    grown = []
    for w, inp, out in zip(weights, extra, extra[1:], strict=False):
        kernel = (0, 0) * (w.ndim - 4)
        grown.append(torch.nn.functional.pad(w, (*kernel, 0, inp, 0, out)))
    padded = [
        torch.nn.functional.pad(b, (0, out)) for b, out in zip(biases, extra[1:], strict=True)
    ]
    return grown, padded


def gap(first, second):
    pairs = zip([*first[0], *first[1]], [*second[0], *second[1]], strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)
