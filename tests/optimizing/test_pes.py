"""Persistent evolution strategies against gradients known in closed form."""

import torch

from skmeta.optimizing import PersistentES

SIGMA, N_PAIRS, N_PIECES = 0.01, 200_000, 4
CURVATURE = torch.tensor([1.0, 0.3], dtype=torch.float64)


def unrolled(rates, n_steps=3):
    """Losses of each piece of gradient descent on x' C x / 2 from (1, 1), with two rates."""
    x, losses = torch.ones(len(rates[0]), 2, dtype=torch.float64), []
    for rate in rates:
        for _ in range(n_steps):
            x = x - rate * CURVATURE * x
        losses.append((CURVATURE * x.square()).sum(1) / 2)
    return losses


def exact(learned):
    learned = learned.clone().requires_grad_()
    losses = unrolled([learned[None]] * N_PIECES)
    (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), learned)
    return gradient


def estimated(learned, *, persistent, n_pairs=N_PAIRS):
    es = PersistentES(SIGMA, n_pairs, 2, torch.Generator().manual_seed(0))
    total, drawn = torch.zeros(2, dtype=torch.float64), []
    for piece in range(N_PIECES):
        drawn.append(es.draw(learned))
        total += es.gradient(unrolled(drawn)[piece])
        if not persistent:
            es.restart()
    return total


def test_it_has_the_gradient_through_all_pieces():
    learned = torch.tensor([0.1, 0.2], dtype=torch.float64)
    gradient = exact(learned)
    found = estimated(learned, persistent=True)
    torch.testing.assert_close(found, gradient, rtol=0.03, atol=0)
    # Noise of single pieces alone blames none of them for what comes later.
    short = estimated(learned, persistent=False)
    assert (short.abs() < 0.6 * gradient.abs()).all()


def test_its_error_falls_with_the_number_of_pairs():
    learned = torch.tensor([0.1, 0.2], dtype=torch.float64)
    gradient = exact(learned)
    errors = [
        (estimated(learned, persistent=True, n_pairs=n) - gradient).norm() for n in (100, 100_000)
    ]
    assert errors[1] < 0.2 * errors[0]


def test_pairs_are_mirrored_and_draw_from_their_generator():
    state = torch.random.get_rng_state()
    es = PersistentES(0.5, 3, 2, torch.Generator().manual_seed(1))
    learned = torch.tensor([1.0, -2.0], dtype=torch.float64)
    plus, minus = es.draw(learned).chunk(2)
    torch.testing.assert_close((plus + minus) / 2, learned.expand(3, 2), rtol=0, atol=1e-12)
    assert plus.std(0).min() > 0.1
    again = PersistentES(0.5, 3, 2, torch.Generator().manual_seed(1)).draw(learned)
    assert torch.equal(again, torch.cat([plus, minus]))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_equal_losses_of_a_pair_say_nothing():
    es = PersistentES(0.5, 3, 2, torch.Generator().manual_seed(1))
    es.draw(torch.zeros(2, dtype=torch.float64))
    assert torch.equal(es.gradient(torch.full((6,), 3.0)), torch.zeros(2, dtype=torch.float64))
