"""Stacked training against torch.optim on single modules, step by step, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skmeta.datasets import CrossEntropy
from skmeta.networks import Architecture, Dropout, Stage, to_module
from skmeta.networks.modules import tensor_names
from skmeta.population import Stack
from skmeta.training import RULES, StackTrainer
from skmeta.training.dropout import Dropout as TrainingDropout
from tests.population.cases import ARCHITECTURES, CASES, trained_looking
from tests.stages import layer

N_ROWS, BATCH, N_STEPS = 60, 16, 5
X = torch.randn(N_ROWS, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1] ** 2 > 1).long()
OPTIMIZERS = {
    "sgd": lambda params, **kw: torch.optim.SGD(params, momentum=0.9, **kw),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}


def without_dropout(architecture):
    stages = tuple(stage.without(Dropout) for stage in architecture.stages)
    return replace(architecture, stages=stages)


def stack_of(records):
    return Stack.merge([Stack.from_records([record]) for record in records]).to(dtype=torch.float64)


def batches(n, n_steps=N_STEPS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(N_ROWS, (n_steps, n, BATCH), generator=generator)


def module_matches(module, record):
    """Compare every tensor of a module with those of a record."""
    state = module.state_dict()
    for slot, name in tensor_names(record.architecture).items():
        # A bias in front of a batch norm has rounding for a gradient, which Adam scales up.
        torch.testing.assert_close(record.tensors[slot], state[name], rtol=1e-9, atol=2e-9)


MORE = [
    ("inner skip, no activation", Architecture(5, [layer(6), layer(6, skips=(1,), skip_before=True)]
     + [layer(2)])),
    ("layer norm, sigmoid", Architecture(5, [layer(8, "sigmoid", "layer"), layer(8, "sigmoid")]
     + [layer(2)])),
    ("batch norm, gelu", Architecture(5, [layer(8, "gelu", "batch"), layer(8, "gelu", skips=(1,))]
     + [layer(2)])),
]  # fmt: skip


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("name, architecture", [*CASES, *MORE])
def test_every_step_equals_torch(name, architecture, rule):
    architecture, n = without_dropout(architecture), 3
    records = [trained_looking(architecture, seed) for seed in range(n)]
    lr = torch.tensor([1e-3, 1e-2, 3e-2], dtype=torch.float64)
    decay = torch.tensor([0.0, 1e-2, 1e-1], dtype=torch.float64)
    stack = stack_of(records)
    trainer = StackTrainer(stack, lr=lr, weight_decay=decay, seeds=range(n), rule=rule)
    modules = [to_module(record).train() for record in stack.records()]
    optimizers = [
        OPTIMIZERS[rule](module.parameters(), lr=lr[i].item(), weight_decay=decay[i].item())
        for i, module in enumerate(modules)
    ]
    state = trainer.start()
    for rows in batches(n):
        state, losses = trainer.step(state, X, rows, CrossEntropy(Y))
        for i, (module, optimizer) in enumerate(zip(modules, optimizers, strict=True)):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(X[rows[i]]), Y[rows[i]])
            loss.backward()
            optimizer.step()
            torch.testing.assert_close(losses[i], loss.detach(), rtol=1e-9, atol=1e-12)
        for module, record in zip(modules, trainer.networks(state).records(), strict=True):
            module_matches(module, record)


def hidden_matrices(module, architecture):
    """The parameters that Muon is for."""
    names = tensor_names(architecture)
    names = [names[f"{k}.weight"] for k in range(architecture.depth - 1)]
    return [p for name in names if (p := module.get_parameter(name)).ndim == 2]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch is older than its Muon")
@pytest.mark.parametrize(
    "widths", [[(5, 8, 6, 2)] * 3, [(5, 8, 6, 2), (5, 4, 12, 2), (5, 3, 3, 2)], [(5, 2)] * 3]
)
def test_every_step_of_muon_equals_torch(widths):
    records = [trained_looking(Architecture.mlp(w), seed) for seed, w in enumerate(widths)]
    lr = torch.tensor([1e-3, 1e-2, 3e-2], dtype=torch.float64)
    decay = torch.tensor([0.0, 1e-2, 1e-1], dtype=torch.float64)
    stack = stack_of(records)
    trainer = StackTrainer(stack, lr=lr, weight_decay=decay, seeds=range(3), rule="muon")
    modules = [to_module(record).train() for record in records]
    optimizers = []
    for i, (module, record) in enumerate(zip(modules, records, strict=True)):
        module.double()
        settings = {"lr": lr[i].item(), "weight_decay": decay[i].item()}
        matrices = hidden_matrices(module, record.architecture)
        rest = [p for p in module.parameters() if not any(p is m for m in matrices)]
        optimizers.append([torch.optim.AdamW(rest, **settings)])
        if matrices:
            muon = torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **settings)
            optimizers[i].append(muon)
    state = trainer.start()
    for rows in batches(3):
        state, _ = trainer.step(state, X, rows, CrossEntropy(Y))
        networks = zip(modules, trainer.networks(state).records(), strict=True)
        for i, (module, record) in enumerate(networks):
            module.zero_grad()
            torch.nn.functional.cross_entropy(module(X[rows[i]]), Y[rows[i]]).backward()
            old = {name: p.detach().clone() for name, p in module.named_parameters()}
            for optimizer in optimizers[i]:
                optimizer.step()
            matrices = hidden_matrices(module, record.architecture)
            for slot, name in tensor_names(record.architecture).items():
                theirs, ours = module.get_parameter(name).data, record.tensors[slot]
                tolerance = {"rtol": 1e-9, "atol": 2e-9}
                if any(theirs.data_ptr() == m.data_ptr() for m in matrices):
                    # Both orthogonalise in bfloat16, and round in another order.
                    step = (theirs - old[name]).abs().max().item()
                    tolerance = {"rtol": 0, "atol": 0.05 * step}
                torch.testing.assert_close(ours, theirs, **tolerance)
                assert not torch.equal(theirs, old[name])
                theirs.copy_(ours)


WIDER = [
    Architecture(5, [layer(7, "sigmoid", dropout=0.3), layer(9, "softplus", "batch"), layer(2)]),
    Architecture(5, [layer(6, "elu", "layer", dropout=0.5), layer(11, "silu"), layer(2)]),
    Architecture(5, [layer(12, "gelu", "batch", dropout=0.1), layer(13, skips=(1,)), layer(2)]),
    Architecture(5, [layer(12), layer(13), layer(2)]),
    Architecture(5, [layer(4, "sigmoid", "layer"), layer(7, "sigmoid", skips=(1,)), layer(2)]),
]

# Only activations with kernels of their own, in every order of widths and norms.
FAST = [
    Architecture(
        5,
        [
            layer(6 + i % 3, activation, norm, dropout=0.1 * (i % 2)),
            layer(9 + i % 2, activation, norm, skips=(1,) if i % 3 else (0, 1)),
            layer(2),
        ],
    )
    for i, (norm, activation) in enumerate(
        (n, a)
        for n in ("batch", "layer", "none")
        for a in ("gelu", "identity", "leaky_relu", "relu", "sigmoid", "tanh")
    )
]


MIXES = [
    FAST,
    *([a for a in [*ARCHITECTURES, *WIDER] if a.depth == depth] for depth in (3, 4)),
]


@pytest.mark.parametrize("mix", MIXES, ids=["fast", "general 3", "general 4"])
@pytest.mark.parametrize("rule", ["adam", "sgd", "kfac"])
def test_a_network_trains_the_same_alone_and_in_a_padded_mix(mix, rule):
    mix = [without_dropout(a) if i % 3 else with_dropout(a) for i, a in enumerate(mix)]
    records = [trained_looking(a, seed) for seed, a in enumerate(mix)]
    n, rows = len(records), batches(len(records))
    lr, decay = torch.full((n,), 1e-2), torch.linspace(0, 1e-2, n)

    def train(members):
        trainer = StackTrainer(
            stack_of([records[i] for i in members]),
            lr=lr[members],
            weight_decay=decay[members],
            seeds=members,
            rule=rule,
        )
        state = trainer.start()
        for step in rows:
            state, _ = trainer.step(state, X, step[members], CrossEntropy(Y))
        return trainer.networks(state).records()

    assert len({a.widths for a in mix}) > 1
    for i, together in enumerate(train(list(range(n)))):
        (alone,) = train([i])
        for slot, tensor in together.tensors.items():
            torch.testing.assert_close(tensor, alone.tensors[slot], rtol=1e-9, atol=2e-9)


def with_dropout(architecture):
    *hidden, last = architecture.stages
    stages = [Stage(x.mix, *x.without(Dropout).tail, Dropout(0.2)) for x in hidden]
    return replace(architecture, stages=(*stages, last))


@pytest.mark.parametrize("rule", RULES)
def test_padding_and_absent_parameters_do_not_change(rule):
    records, n = [trained_looking(a, 0) for a in WIDER], len(WIDER)
    start = stack_of(records)
    trainer = StackTrainer(
        start, lr=torch.full((n,), 0.1), weight_decay=torch.ones(n), seeds=range(n), rule=rule
    )
    state = trainer.start()
    for rows in batches(n):
        state, _ = trainer.step(state, X, rows, CrossEntropy(Y))
    now = trainer.networks(state).weights.views
    for old, new, mask in zip(start.weights.views, now, start.present().views, strict=True):
        absent = ~mask.bool().expand_as(old)
        assert torch.equal(old[absent], new[absent])
        assert absent.all() or not torch.equal(old, new)


def test_dropout_keeps_the_right_share_and_the_mean():
    rates = (0.0, 0.1, 0.5)
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    h = torch.ones(3, 4000, 40)
    stack = stack_of([trained_looking(Architecture.mlp((5, 40, 2)), 0)] * 3)
    out = h * TrainingDropout(stack).draw(generators, 0, h, torch.tensor(rates))
    for rate, dropped in zip(rates, out, strict=True):
        kept = 1 / (1 - rate)
        assert set(np.round(dropped.unique().tolist(), 5)) <= {0.0, round(kept, 5)}
        share = (dropped == 0).double().mean().item()
        assert abs(share - rate) < 4 * np.sqrt(0.25 / h[0].numel())
        # Neither neurons nor rows are dropped together.
        assert (dropped == 0).double().mean(0).std() < 0.02


def test_any_differentiable_loss_will_do():
    stack = stack_of([trained_looking(a, 0) for a in FAST])
    flats = []
    for loss in (CrossEntropy(Y), lambda outputs, rows: CrossEntropy(Y)(outputs, rows)):
        trainer = StackTrainer(
            stack, lr=torch.ones(18), weight_decay=torch.zeros(18), seeds=range(18), rule="sgd"
        )
        state, _ = trainer.step(trainer.start(), X, batches(18)[0], loss)
        flats.append(state.networks.weights.flat)
    torch.testing.assert_close(*flats)


def test_evaluation_mode_has_neither_dropout_nor_batch_statistics():
    architecture = with_dropout(ARCHITECTURES[6])
    stack = stack_of([trained_looking(architecture, 0)])
    trainer = StackTrainer(
        stack, lr=torch.zeros(1), weight_decay=torch.zeros(1), seeds=[0], train_mode=False
    )
    rows = batches(1)[0]
    state, loss = trainer.step(trainer.start(), X, rows, CrossEntropy(Y))
    (record,) = stack.records()
    expected = torch.nn.functional.cross_entropy(to_module(record)(X[rows[0]]), Y[rows[0]])
    torch.testing.assert_close(loss[0], expected.detach())
    assert torch.equal(state.networks.statistics["0.mean"], stack.statistics["0.mean"])
