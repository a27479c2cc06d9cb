"""What is frozen: numbers of the package as it was before its core was rebuilt.

Each function of ``CASES`` maps the recorded networks to named arrays. ``record.py`` writes them,
``test_frozen.py`` compares. What reaches into the package stands first, so that a rebuilt core
has few places to adapt.
"""

import re
import warnings
from functools import cache, partial
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import nn

from skmeta import ComplianceEditor, WeightSpaceRegressor, WeightStatistics
from skmeta.baselines import FineTune
from skmeta.datasets import Cells, Task, make_biased_classification, split_tasks
from skmeta.editing.features import make_builder
from skmeta.editing.passes import edit_population
from skmeta.editing.training import EditingLoss, build_metanet
from skmeta.metanets import TRUNKS, Metanet, Quasi
from skmeta.metanets.stack_channels import Standardize
from skmeta.networks import Architecture
from skmeta.population import Population, from_rows, shrink, to_rows
from skmeta.requirements import (
    DataMinimization,
    EqualizedOdds,
    Pruning,
    jensen_shannon,
    split_requirements,
)
from skmeta.training import ShuffledRows, StackTrainer, StratifiedRows
from skmeta.zoo import CNNSearchSpace, MLPSearchSpace, make_zoo

HERE = Path(__file__).parent
RENAMED = {
    r"\btrunk\.parts\.([^.]+)\.encode_ends\.": r"trunks.\1.encode.",
    r"\btrunk\.parts\.": "trunks.",
    r"\bhead\.project\.any\.": "project.",
    r"\bhead\.project\.statistics\.": "body.2.",
    r"\bhead\.project\.([^.]+)\.": r"trunks.\1.project.",
    r"\bhead\.layers\.": "head.",
    r"\bhead\.forms\.decode\.": "decode_edge.",
    r"\bhead\.forms\.": "",
    r"\bhead\.(per_neuron|per_layer|gamma|lead)": r"\1",
    r"\btrunk\.encode_nodes\.": "encode.",
    r"\btrunk\.layers\.": "body.",
    r"\btrunk\.": "",
}
"""Patterns of parameters' names that have changed, and what they were when this was recorded."""

# A gate or a scale that is far from where learning starts would spoil every edit.
_CENTRES = {"norm.weight": (1.0, 0.1), "lead": (1.0, 0.1), "gamma": (0.03, 0), "alpha": (0.3, 0)}
_LAST = tuple(
    f"{name}.weight" for name in ("per_neuron.2", "per_layer.2", "left", "right", "decode_edge")
)


# -- where the package is entered ------------------------------------------------------------


def builder_for(requirement, features="gradients"):
    """What computes features, and masks if the requirement asks for them."""
    task = tasks()[1]
    plan = split_requirements(requirement, 0.1, "ComplianceEditor")
    rows = np.arange(0, task.n_samples, 2)
    return make_builder(features, plan, task, rows)


def problems_of(networks, builder):
    return [(positions, builder.build(stack)) for positions, stack in networks.depth_blocks()]


def editor_for(name, problems):
    graphs = [problem.graph for _, problem in problems]
    metanet = build_metanet(name, graphs, seed=0, hidden_channels=24, n_layers=2)
    return filled(metanet, len(graphs[0].steps))


def edited_by(networks, builder, metanet, lam=0.1):
    return edit_population(networks, builder, metanet, lam)


def raw_edits(networks, problems, metanet, lam=0.1):
    """Networks with whole edits, neither shortened nor left out."""
    blocks = []
    for positions, problem in problems:
        edit = metanet(problem.graph, problem.graph.context.new_full((len(problem),), lam))
        params = problem.start.params.map(torch.add, edit)
        blocks.append((positions, problem.start.with_params(params.map(torch.detach))))
    return networks.with_blocks(blocks)


def changed_before(networks, problems):
    """The networks that an edit is added to: masked and reconstructed ones, or the originals."""
    return networks.with_blocks([(positions, problem.start) for positions, problem in problems])


def graph_features(graph):
    """A few sums and norms of what a metanetwork sees, ``(n, ...)`` each."""
    masks = [graph.stack._ones_mask(i)[..., None] for i in range(graph.stack.depth + 1)]
    nodes = [torch.where(m > 0, node, 0.0) for m, node in zip(masks, graph.nodes, strict=True)]
    steps = [t.flatten(1) for step in graph.steps for t in (*step.weight, *step.bias)]
    return {
        "nodes": torch.cat([x.sum(1) for x in nodes], 1),
        "nodes' norms": torch.stack([x.flatten(1).norm(dim=1) for x in nodes], 1),
        "steps": torch.stack([t.norm(dim=1) for t in steps], 1),
        "context": graph.context,
        "reach": graph.reach,
    }


def editing_loss(metanet, problems, builder, n_networks):
    """The loss of a batch of the first networks of one depth, as in an editor's training."""
    task = tasks()[1]
    X, _, _ = task.tensors("cpu")
    module = EditingLoss(
        metanet,
        problems,
        builder.plan,
        X,
        Cells.of(task, "cpu"),
        StratifiedRows(task.cells(), 96, 1),
        (0.1, 0.1),
        torch.Generator().manual_seed(0),
    )
    positions, _ = max(problems, key=lambda block: len(block[0]))
    positions = torch.as_tensor(positions)[:n_networks]
    return lambda: module(positions)


def reader_for(name, networks, quasi=False):
    """A filled reader, whose standardisation is that of its own features of the networks."""
    stacks = [stack for _, stack in networks.depth_blocks()]
    metanet = Metanet.reader(name, stacks, 3, hidden_channels=8, n_layers=2, head_channels=32)
    metanet = filled(Quasi(metanet, stacks) if quasi else metanet)

    def standardise(module, inputs):
        new = Standardize(inputs[0])
        module.mean.copy_(new.mean)
        module.spread.copy_(new.spread)

    # Those of inputs know the networks only; these were measured before the filling.
    modules = [m for n, m in metanet.named_modules() if n.endswith("standardize")]
    hooks = [module.register_forward_pre_hook(standardise) for module in modules]
    read(metanet, networks)
    for hook in hooks:
        hook.remove()
    return metanet


def read(metanet, networks):
    outputs = np.empty((len(networks), 3), dtype=np.float32)
    with torch.no_grad():
        for positions, stack in networks.depth_blocks():
            outputs[positions] = metanet(metanet.inputs(stack)).numpy()
    return outputs


def trained(networks, rule, n_steps):
    """Networks and their losses after some steps; only those of the depth of most."""
    task = tasks()[0]
    X = task.tensors("cpu")[0]
    positions, stack = max(networks.depth_blocks(), key=lambda block: len(block[0]))
    n = len(stack)
    settings = {"lr": torch.full((n,), 3e-3), "weight_decay": torch.full((n,), 1e-2)}
    trainer = StackTrainer(stack, **settings, seeds=list(range(n)), rule=rule)
    state, losses = trainer.start(), []
    for rows in islice(ShuffledRows(len(X), 64).epoch(state.generators), n_steps):
        state, loss = trainer.step(state, X, rows, task.loss())
        losses.append(loss)
    after = networks[np.sort(positions)].with_blocks([(np.arange(n), trainer.networks(state))])
    return after, torch.stack(losses, 1)


# -- what networks, tasks and parameters there are -------------------------------------------


@cache
def tasks():
    return split_tasks(make_biased_classification(3000, random_state=0), "group")


@cache
def image_task():
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 3
    stripes = 2.0 * (np.arange(8)[:, None] // 3 == labels[:, None, None])
    return Task((rng.normal(size=(600, 8, 8)) + stripes).reshape(600, -1), labels)


def architectures():
    """Those of the recorded networks: small, with all that the default space has."""
    space = MLPSearchSpace(hidden_widths=(8, 12, 16))
    return [space.sample(10, 2, np.random.default_rng(i)).architecture for i in range(24)]


def networks():
    """The recorded networks, trained: what comes behind does not depend on the training."""
    with np.load(HERE / "networks.npz") as saved:
        rows = np.split(saved["rows"], saved["ends"][:-1])
    return from_many_rows(rows)


def from_many_rows(rows):
    pairs = zip(rows, architectures(), strict=True)
    return Population.concatenate([from_rows(row, a) for row, a in pairs])


def rows_of(population):
    return [to_rows(population[[i]])[0] for i in range(len(population))]


def filled(module, n_steps=0):
    """Fill parameters by a formula of their names, not of the order in which they are drawn."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            for pattern, old in RENAMED.items():
                name = re.sub(pattern, old, name)
            if name.endswith(("encode.0.weight", "head.0.weight")) and parameter.ndim == 2:
                columns = _old_columns(name, parameter.shape[1], n_steps)
                values = _values(name, (len(parameter), len(columns)))
                parameter.zero_()[:, columns] = torch.from_numpy(values)
            else:
                parameter.copy_(torch.from_numpy(_values(name, tuple(parameter.shape))))
    return module


def _old_columns(name, n_columns, n_steps):
    """Columns that there were before codes had room for 16 activations and 8 normalisations."""
    room = range(n_columns)
    if name.endswith("head.0.weight"):
        return [*room[:-7]]
    start = 7 + n_steps
    return [*room[: start + 9], *room[start + 16 : start + 19], *room[start + 24 :]]


def _values(name, shape):
    rng = np.random.default_rng(crc32(f"{name} {shape}".encode()))
    values = rng.standard_normal(shape)
    for end, (centre, spread) in _CENTRES.items():
        if name.endswith(end):
            return np.asarray(centre + spread * values, dtype=np.float32)
    scale = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.1
    return np.asarray(values * (0.1 if name.endswith(_LAST) else 1.0) * scale, dtype=np.float32)


def digest(population, n_parts=8):
    """Sums and norms of parts of each network's numbers, ``(n, 2 * n_parts)``."""
    parts = [np.array_split(row.astype(np.float64), n_parts) for row in rows_of(population)]
    sums = [[part.sum() for part in row] for row in parts]
    norms = [[np.linalg.norm(part) for part in row] for row in parts]
    return np.concatenate([sums, norms], 1)


def probabilities(population, task=None):
    X = (tasks()[2] if task is None else task).X[:20]
    return population.predict_proba(X)[..., 1:].astype(np.float32)


def deviation(got, wanted):
    """Largest deviation of each first index, relative to its root mean square, ``(n,)``."""
    got, wanted = (np.reshape(x, (len(x), -1)).astype(np.float64) for x in (got, wanted))
    if wanted.shape[1] == 1:
        got, wanted = got.T, wanted.T
    there = np.isfinite(wanted)
    values = np.where(there, wanted, 0.0)
    scale = np.sqrt(np.square(values).sum(1, keepdims=True) / np.maximum(there.sum(1), 1)[:, None])
    off = np.abs(np.where(there, got, 0.0) - values)
    relative = off / np.maximum(np.maximum(np.abs(values), scale), 1e-12)
    # What is infinite or missing must be so again.
    same = there | (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    return np.nan_to_num(np.where(same, relative, np.inf), nan=np.inf).max(1)


# -- the cases -------------------------------------------------------------------------------


def _zoo(population, task=None):
    metadata = population.metadata.drop(columns="seconds")
    columns = {f"metadata {name}": metadata[name].to_numpy() for name in metadata}
    texts = {n: c.astype(str) if c.dtype == object else c for n, c in columns.items()}
    return {
        "widths": np.array([str(a.widths) for a in population.architectures]),
        "n_parameters": np.array([a.n_parameters for a in population.architectures]),
        "probabilities": probabilities(population, task),
        "weights": digest(population),
        **texts,
    }


def zoo(_):
    settings = {"epochs": 2, "n_checkpoints": 2, "progress": False, "random_state": 0}
    return _zoo(make_zoo(tasks()[0], 24, **settings))


def cnn_zoo(_):
    rules = ("adam", "adamw", "sgd", "rmsprop")
    space = CNNSearchSpace((1, 8, 8), optimizers=rules, learning_rate=(1e-3, 1e-2))
    settings = {"epochs": 2, "n_checkpoints": 1, "progress": False, "random_state": 1}
    return _zoo(make_zoo(image_task(), 6, search_space=space, **settings), image_task())


def initial(_):
    images = [Architecture.cnn((1, 8, 8), (4, 5), 3), Architecture.cnn((2, 9, 7), (3,), 2)]
    specs = [*architectures(), *images]
    return {"weights": digest(Population.initialize(specs, random_state=0))}


def copies(networks):
    return {
        "permuted": digest(networks.permuted(0)),
        "rescaled": digest(networks.rescaled(0)),
        "probabilities": probabilities(networks),
    }


def shrunk(_):
    architecture = Architecture.mlp((10, 12, 8, 2), activation="tanh")
    rows = to_rows(Population.initialize(architecture, 3, random_state=0))
    first, second = rows[:, :120].reshape(3, 12, 10), rows[:, 132:228].reshape(3, 8, 12)
    first[:, [1, 4]] = 0
    first[:, :, 3] = 0
    second[:, :, [2, 7]] = 0
    second[:, 5] = 0
    smaller, kept = shrink(from_rows(rows, architecture), drop_inputs=True)
    return {
        "widths": np.array([a.widths for a in smaller.architectures]),
        "kept inputs": np.stack(kept),
        "weights": digest(smaller),
    }


def adapters(_):
    task = tasks()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = MLPClassifier((9, 7), max_iter=1, random_state=0).fit(task.X, task.y)
    estimator.coefs_ = [_values("coef", c.shape) for c in estimator.coefs_]
    estimator.intercepts_ = [_values("intercept", c.shape) for c in estimator.intercepts_]
    norms = nn.BatchNorm1d(8), nn.LayerNorm(6)
    module = nn.Sequential(
        *(nn.Linear(10, 8), norms[0], nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(8, 6), nn.GELU(), norms[1], nn.Linear(6, 2)),
    )
    filled(module)
    norms[0].running_mean.copy_(torch.linspace(-1, 1, 8))
    norms[0].running_var.copy_(torch.linspace(0.5, 2, 8))
    population = Population([estimator, module.eval()])
    return {"weights": digest(population), "probabilities": probabilities(population)}


def edits(requirement, networks):
    builder = builder_for(requirement)
    problems = problems_of(networks, builder)
    outcome = {}
    if not isinstance(requirement, EqualizedOdds):
        before = changed_before(networks, problems)
        # Reconstruction leaves no other zeros in these networks.
        kept = [np.packbits(row != 0) for row in rows_of(before)]
        outcome = {"changed before": digest(before), "kept": np.concatenate(kept)}
    for number, (_, problem) in enumerate(problems):
        for name, values in graph_features(problem.graph).items():
            outcome[f"{name} of block {number}"] = values.numpy()
    for name in ("neuron", "graph"):
        metanet = editor_for(name, problems)
        edited = edited_by(networks, builder, metanet)
        X = torch.from_numpy(tasks()[2].X)
        divergence = jensen_shannon(networks.forward(X), edited.forward(X)).mean(1)
        outcome |= {
            f"{name}: raw edits": digest(raw_edits(networks, problems, metanet)),
            f"{name}: weights": digest(edited, 4),
            f"{name}: probabilities": probabilities(edited),
            f"{name}: divergence": divergence.numpy(),
            f"{name}: step": one_step(metanet, problems, builder),
        }
    return outcome


def one_step(metanet, problems, builder):
    """Losses before and after a step of gradient descent on the metanetwork."""
    before = editing_loss(metanet, problems, builder, 4)()
    parameters = list(metanet.parameters())
    gradients = torch.autograd.grad(before.mean(), parameters, allow_unused=True)
    total = sum(g.square().sum() for g in gradients if g is not None).sqrt()
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter -= 0.05 * gradient / total
        after = editing_loss(metanet, problems, builder, 4)()
    return torch.stack([before.detach(), after, total.expand(len(after))], 1).numpy()


def readings(networks):
    images = [Architecture.cnn((1, 8, 8), (4, 5), 3)] * 4
    homogeneous = [Architecture.mlp((10, 12, 2)), Architecture.mlp((10, 8, 9, 2))] * 4
    relu, cnns = (Population.initialize(x, random_state=0) for x in (homogeneous, images))
    outcome = {}
    for name in TRUNKS:
        population = relu if name == "monomial" else networks
        outcome[name] = read(reader_for(name, population), population)
        outcome[f"{name} of images"] = read(reader_for(name, cnns), cnns)
    outcome["quasi"] = read(reader_for("nfn-hnp", networks, quasi=True), networks)
    return outcome


def statistics(networks):
    return {"table": WeightStatistics().fit_transform(networks)}


def fine_tuned(networks):
    tuner = FineTune(n_steps=5, random_state=0).fit(networks[:6], task=tasks()[1])
    edited = tuner.transform(networks[:6])
    return {"weights": digest(edited), "probabilities": probabilities(edited)}


def rules(networks):
    outcome = {}
    for rule in ("adam", "adamw", "sgd", "rmsprop"):
        after, losses = trained(networks, rule, 10)
        outcome[f"{rule}: losses"] = losses.numpy()
        outcome[f"{rule}: probabilities"] = probabilities(after)
        outcome[f"{rule}: weights"] = digest(after)
    return outcome


def public(networks):
    editor = ComplianceEditor(max_epochs=2, random_state=0).fit(networks[1::2], task=tasks()[1])
    depths = np.array([float(a.depth) for a in networks.architectures])
    reader = WeightSpaceRegressor(metanet="statistics", max_epochs=40, lr=3e-3, random_state=0)
    return {
        "editor's score": np.array([editor.score(networks, task=tasks()[2])]),
        "reader's score": np.array([reader.fit(networks, depths).score(networks, depths)]),
    }


CASES = {
    "zoo": zoo,
    "cnn_zoo": cnn_zoo,
    "initial": initial,
    "copies": copies,
    "shrunk": shrunk,
    "adapters": adapters,
    "edits_odds": partial(edits, EqualizedOdds()),
    "edits_pruned": partial(edits, Pruning(budget=0.3)),
    # The backward elimination of inputs takes its time.
    "edits_inputs": lambda networks: edits(DataMinimization(budget=5), networks[2::4]),
    "readings": readings,
    "statistics": statistics,
    "fine_tuned": fine_tuned,
    "rules": rules,
    "public": public,
}
