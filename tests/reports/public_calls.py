"""One small call of everything public, for tests that hold for all of it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier

import skmeta
from skmeta import ComplianceEditor, EditedClassifier, make_zoo
from skmeta import baselines as b
from skmeta import datasets as d
from skmeta import editing as ed
from skmeta import evaluation as e
from skmeta import gradients as g
from skmeta import networks as n
from skmeta import population as p
from skmeta import requirements as r
from skmeta import training as t
from skmeta.metanets import statistic_names, weight_statistics
from skmeta.zoo import CNNSearchSpace, MLPSearchSpace
from tests.reports.optimizing_calls import OPTIMIZING

matplotlib.use("Agg")


@dataclass
class Small:
    """Tiny tasks, networks and editors, made when they are first asked for."""

    space = MLPSearchSpace(n_hidden_layers=(1,), hidden_widths=(4, 6), batch_sizes=(64,))
    options = {"hidden_channels": 8, "n_layers": 1, "max_epochs": 1, "random_state": 0}

    @cached_property
    def bunch(self) -> Any:
        return d.make_biased_classification(2000, random_state=0)

    @cached_property
    def tasks(self) -> tuple[d.Task, ...]:
        return d.split_tasks(self.bunch, "group")

    @property
    def task(self) -> d.Task:
        return self.tasks[1]

    def train(self, n_networks: int = 6, **options: Any) -> p.Population:
        wanted = {"epochs": 1, "n_checkpoints": 1, "progress": False, "random_state": 0}
        if "like" not in options:
            wanted["search_space"] = self.space
        return make_zoo(self.tasks[0], n_networks, **wanted | options)

    @cached_property
    def zoo(self) -> p.Population:
        return self.train()

    @property
    def stack(self) -> p.Stack:
        return self.zoo.depth_blocks()[0][1]

    def edit(self, requirement: Any = "equalized_odds", **options: Any) -> ComplianceEditor:
        return ComplianceEditor(requirement, **self.options | options).fit(self.zoo, task=self.task)

    @cached_property
    def editor(self) -> ComplianceEditor:
        return self.edit(lam_range=(0.05, 0.5), refine_steps=2, guard={"max_divergence": 0.5})

    @cached_property
    def logits(self) -> torch.Tensor:
        return p.run_networks(self.zoo, self.task)

    @cached_property
    def cells(self) -> d.Cells:
        return d.Cells.of(self.task)

    @property
    def weights(self) -> torch.Tensor:
        return torch.full((50,), 0.02)

    @cached_property
    def X(self) -> torch.Tensor:
        return self.task.tensors()[0][:50]


def population(s: Small) -> None:
    zoo, X = s.zoo, s.task.X
    _ = zoo[0], list(zoo), np.asarray(zoo), zoo[:2].to_networks(), repr(zoo)
    p.Population(list(zoo)).score(X, s.task.y)
    _ = zoo.predict_proba(X), zoo.permuted(), zoo.rescaled(0), zoo.to(dtype=torch.float64)
    p.Population.initialize(n.Architecture.mlp((3, 2)), 2)
    p.Population.concatenate([zoo, zoo])
    with tempfile.TemporaryDirectory() as folder:
        zoo.save(Path(folder) / "zoo")
        p.Population.load(Path(folder) / "zoo")


def edits(s: Small) -> None:
    editor = s.editor
    editor.transform(list(s.zoo[:2]), lam=0.1)
    _ = editor.score(s.zoo), editor.report(s.zoo[:2], n_bootstrap=5), editor.card(s.zoo[:2])
    with tempfile.TemporaryDirectory() as folder:
        skmeta.save(editor, Path(folder) / "editor")
        skmeta.load(Path(folder) / "editor").transform(s.zoo, task=s.task)
    s.edit(r.DataMinimization(budget=4)).transform(s.zoo)
    s.edit(metanet="graph", features="probes", random_state=None).transform(s.zoo)


def classifiers(s: Small) -> None:
    editor = {"method": "editor", "lam": 0.1, "n_networks": 3, "zoo_epochs": 1, "max_epochs": 1}
    X, y, groups = s.task.X, s.task.y, np.asarray(s.task.sensitive)
    for estimator in (MLPClassifier((4,), early_stopping=True, max_iter=5), skorch_net()):
        for options in (editor, {"max_accuracy_drop": 0.05}):
            fitted = EditedClassifier(estimator, random_state=0, **options)
            fitted.fit(X, y, sensitive_features=groups).predict(X)


class Module(torch.nn.Sequential):
    """What a user may hand to skorch."""

    def __init__(self) -> None:
        nn = torch.nn
        super().__init__(nn.Linear(10, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))


def skorch_net() -> Any:
    from skorch import NeuralNetClassifier

    options = {"max_epochs": 1, "verbose": 0, "iterator_train__shuffle": True}
    return NeuralNetClassifier(Module, criterion=torch.nn.CrossEntropyLoss, **options)


def reader(s: Small, estimator: Any, y: Any) -> None:
    estimator.fit(s.zoo, y).predict(s.zoo)
    with tempfile.TemporaryDirectory() as folder:
        skmeta.save(estimator, Path(folder) / "reader")
        skmeta.load(Path(folder) / "reader").predict(s.zoo)


def regressors(s: Small) -> None:
    y = np.linspace(0, 1, len(s.zoo))
    for options in ({"augment": "permute"}, {"metanet": "graph", "quasi": True}, {"loss": "bce"}):
        reader(s, skmeta.WeightSpaceRegressor(**s.options | options), y)
    skmeta.WeightSpaceRegressor(max_epochs=1).fit(s.zoo, y)


def rival(name: str, **options: Any) -> Callable[[Small], None]:
    def call(s: Small) -> None:
        fitted = getattr(b, name)(**options).fit(s.zoo, task=s.task)
        fitted.predict_logits(s.zoo[:2], s.tasks[2])

    return call


def trained(s: Small) -> t.StackTrainer:
    ones = torch.ones(len(s.stack))
    trainer = t.StackTrainer(s.stack, lr=ones, weight_decay=ones, seeds=range(len(ones)))
    X = s.task.tensors()[0]
    t.train_stack(trainer, X, s.task.loss(), t.ShuffledRows(len(X), 32), n_epochs=1)
    return trainer


def stepped(rule: Any) -> torch.Tensor:
    weights, lr = torch.zeros(2, 3), torch.ones(2, 1)
    return rule.update(rule.init(weights), weights, torch.ones(2, 3), lr)[0]


def stratified(s: Small) -> list[torch.Tensor]:
    return list(t.StratifiedRows(s.task.cells(), 2, 3).epoch([torch.Generator()]))


def stages(s: Small) -> n.Stage:
    tail = n.Norm("batch"), n.Activate("relu"), n.Skip(0), n.Dropout(0.5)
    return n.Stage(n.Linear(3), *tail)


def permutations(s: Small) -> Any:
    return p.random_permutations(s.zoo.architectures[0], torch.Generator())


def frames(s: Small) -> Any:
    mlp = MLPClassifier((4,), solver="lbfgs", random_state=0).fit(s.task.X, s.task.y)
    return e.metric_frames(mlp, mlp, s.task, metrics=accuracy_score, n_boot=3, ci_quantiles=[0.5])


def fair_optimum(requirement: Any) -> r.FairOptimum:
    shares = np.full((4, 2, 2), 0.25)
    return r.solve_fair_optimum(shares, requirement, tolerance=0.1, costs=np.ones(2))


def gap(s: Small) -> float:
    X, y = s.task.X, s.task.y
    mlp = MLPClassifier((4,), early_stopping=True, max_iter=5, random_state=0).fit(X, y)
    return e.GapScorer()(mlp, X, y, sensitive_features=s.task.sensitive)


def rows_of(s: Small) -> torch.Tensor:
    return torch.arange(s.task.n_samples).expand(len(s.logits), -1)


def on_one_thread(s: Small) -> None:
    with t.single_thread():
        p.forward(s.stack, s.X)


CV = {"mean_test_neg_divergence": np.array([-0.1]), "mean_test_neg_measure": np.array([-0.1])}
FEW = {"n_candidates": 2, "n_per_cell": 20}
DIVERGENCES = r.kullback_leibler, r.jensen_shannon
SCORERS = "accuracy_change_scorer", "divergence_scorer", "measure_scorer"


def curvatures(s: Small) -> None:
    options = {k: v for k, v in s.options.items() if k in ("max_epochs", "hidden_channels")}
    model = skmeta.CurvatureRegressor(n_gradients=8, random_state=0, **options)
    model.fit(s.zoo, task=s.task).predict(s.zoo, task=s.task)
    skmeta.CurvatureRegressor(n_gradients=8, max_epochs=1).fit(s.zoo, task=s.task)
    model.score(s.zoo, task=s.task)


def _recorded(small: Small) -> g.ModuleFactors:
    module = n.to_module(next(small.stack.records()))
    with g.record(module) as recording:
        return recording.factors(module(small.X).sum())


CALLS: dict[str, Callable[[Small], Any]] = {
    # the top, zoo and estimators
    "ComplianceEditor": edits,
    "CurvatureRegressor": curvatures,
    "EditedClassifier": classifiers,
    "Population": population,
    "WeightSpaceRegressor": regressors,
    "WeightSpaceClassifier": lambda s: reader(
        s, skmeta.WeightSpaceClassifier(metanet="statistics", **s.options), np.arange(6) % 2
    ),
    "WeightStatistics": lambda s: skmeta.WeightStatistics().fit(s.zoo).transform(s.zoo),
    **dict.fromkeys(("load", "save"), edits),
    "make_zoo": lambda s: [s.train(), s.train(like=s.zoo[0], n_jobs=1, random_state=None)],
    "MLPSearchSpace": lambda s: MLPSearchSpace().sample(3, 2, np.random.default_rng(0)),
    "CNNSearchSpace": lambda s: CNNSearchSpace((1, 8, 8)).sample(64, 2, np.random.default_rng(0)),
    "Run": lambda s: s.space.sample(10, 2, np.random.default_rng(0)).seeds,
    # datasets
    "CrossEntropy": lambda s: s.task.loss()(s.logits, rows_of(s)),
    "SquaredError": lambda s: d.SquaredError(s.task.tensors()[1])(s.logits[..., :1], rows_of(s)),
    "Task": lambda s: s.task.stratified_sample(3),
    "make_biased_classification": lambda s: d.make_biased_classification(50),
    "merge_rare": lambda s: d.merge_rare(["a", "a", "b"], min_rows=2),
    "split_tasks": lambda s: d.split_tasks(s.bunch, "group", random_state=None),
    "stratified_folds": lambda s: d.stratified_folds([0, 0, 1, 1], 2),
    # population
    "Architecture": lambda s: n.Architecture.cnn((1, 8, 8), (3,), 2),
    **dict.fromkeys(("Stage", "Linear", "Norm", "Activate", "Skip", "Dropout"), stages),
    **dict.fromkeys(("Conv", "Pool"), lambda s: n.Stage(n.Conv(3, 2), n.Pool("mean"))),
    "Weights": lambda s: p.Weights.full(s.stack.weights.layout, 2, s.stack.weights.flat),
    "Record": lambda s: n.Record.blank(n.Architecture.mlp((3, 2))),
    "apply_permutations": lambda s: p.apply_permutations(s.zoo.records()[0], permutations(s)),
    "random_permutations": permutations,
    **{f.__name__: lambda s, f=f: f(s.stack, s.X) for f in (p.forward, p.run_stack)},
    "initial_records": lambda s: n.initial_records(
        s.zoo.architectures, schemes=["uniform", "he", "glorot", "orthogonal", "he", "he"]
    ),
    **dict.fromkeys(
        ("from_rows", "to_rows"),
        lambda s: p.from_rows(p.to_rows(s.zoo[:1]), s.zoo.architectures[0]),
    ),
    "shrink": lambda s: [p.shrink(s.zoo), p.shrink(list(s.zoo), drop_inputs=True)],
    "to_module": lambda s: n.to_module(s.zoo.records()[0]),
    # training
    **{
        rule.__name__: lambda s, rule=rule: stepped(rule())
        for rule in (t.SGD, t.Adam, t.Muon, t.RMSprop, t.Kfac)
    },
    **dict.fromkeys(("ShuffledRows", "StackTrainer", "TrainState", "Snapshot"), trained),
    "train_stack": trained,
    "Schedule": lambda s: t.Schedule(9, torch.ones(2, 1), torch.ones(2, 1)).factor(3),
    "ShuffledSteps": lambda s: list(t.ShuffledSteps(9, 2, 5).epoch([torch.Generator()])),
    "recalibrated": lambda s: t.recalibrated(s.stack, s.X),
    "StratifiedRows": stratified,
    "keep_freed_memory": lambda s: t.keep_freed_memory(),
    "per_network": lambda s: t.per_network(0.1, 3),
    "single_thread": on_one_thread,
    # metanets and gradients
    "statistic_names": lambda s: statistic_names(3),
    "weight_statistics": lambda s: weight_statistics(s.stack),
    "KroneckerFisher": lambda s: g.KroneckerFisher(g.Recording(s.stack, s.X), s.weights),
    "ModuleFactors": lambda s: _recorded(s).fisher_diagonal(),
    "Recording": lambda s: g.Recording(s.stack, s.X),
    "record": lambda s: _recorded(s).per_sample(),
    "FisherSamples": lambda s: g.FisherSamples.of(s.stack, s.X).blended(
        g.FisherSamples.of(s.stack, s.X).shrinkage()
    ),
    "Factors": lambda s: g.Recording(s.stack, s.X).pull_back(s.logits[:, :50]).gradient(),
    "Program": lambda s: g.Program(s.stack).forward(s.X),
    "saliency": lambda s: g.saliency(g.Recording(s.stack, s.X), s.weights),
    "reconstruct": lambda s: g.reconstruct(
        s.stack, [torch.ones(1, 1, 1)] * s.stack.depth, s.X, s.weights
    ),
    **OPTIMIZING,
    # requirements
    "Cells": lambda s: d.Cells.of(s.task),
    "Custom": lambda s: r.Custom(lambda P, y, z: P[..., 1].mean(-1)).measure(s.logits, s.cells),
    "DataMinimization": lambda s: r.DataMinimization().scores(s.stack, s.X, s.weights),
    "Pruning": lambda s: r.Pruning().scores(s.stack, s.X, s.weights),
    "DemographicParity": lambda s: r.DemographicParity().measure(s.logits, s.cells),
    "EqualOpportunity": lambda s: r.EqualOpportunity().measure(s.logits, s.cells),
    "EqualizedOdds": lambda s: r.EqualizedOdds().violation(s.logits, s.cells),
    "FairOptimum": lambda s: fair_optimum(r.EqualizedOdds()),
    "FairTeacher": lambda s: r.FairTeacher().fit(s.task),
    "Joint": lambda s: r.resolve_requirement("equalized_odds", "x"),
    "Objective": lambda s: r.Objective(None).divergence(s.logits, s.logits, s.cells),
    **{f.__name__: lambda s, f=f: f(s.logits, s.logits) for f in DIVERGENCES},
    "resolve_requirement": lambda s: r.resolve_requirement("pruning", "x"),
    "solve_fair_optimum": lambda s: fair_optimum(r.DemographicParity()),
    "split_requirements": lambda s: r.split_requirements("pruning", 0.1, "x"),
    # baselines
    **{name: rival(name) for name in ("BlindOptimum", "CalibratedEqOdds", "GroupShift")},
    **{name: rival(name) for name in ("GroupThresholds", "Nothing")},
    **{name: rival(name, n_steps=2, n_per_cell=20) for name in ("AdditiveCorrection", "FineTune")},
    "LayerwiseOptimization": rival("LayerwiseOptimization", n_rounds=1, **FEW),
    "LotteryTicket": rival("LotteryTicket", n_steps=2),
    "PermutationSelection": rival("PermutationSelection", n_epochs=1),
    "Prune": rival("Prune", criterion="random", n_steps=2),
    "RandomPerturbation": rival("RandomPerturbation", **FEW),
    "RejectOption": rival("RejectOption", thetas=[0.1]),
    **{name: rival(name, n_per_cell=20) for name in ("LinearPost", "Swap")},
    "ThresholdOptimizer": rival("ThresholdOptimizer", grid_size=20),
    "distill": lambda s: b.distill(s.zoo, s.zoo, s.task, n_steps=2),
    "fine_tune": lambda s: ed.fine_tune(
        s.zoo, s.task, r.Objective(r.EqualizedOdds()), lam=0.1, n_steps=2
    ),
    "run_networks": lambda s: p.run_networks(s.zoo, s.task),
    # evaluation
    "EditDisplay": lambda s: e.EditDisplay.from_networks(s.zoo, s.zoo).plot(),
    "EditScorer": lambda s: e.EditScorer()(s.editor, s.zoo),
    "GapScorer": gap,
    "GroupRatesDisplay": lambda s: e.GroupRatesDisplay.from_networks(s.zoo, s.zoo, s.task).plot(),
    "ParetoFrontDisplay": lambda s: e.ParetoFrontDisplay.from_estimator(s.editor, s.zoo).plot(),
    **{name: lambda s, name=name: getattr(e, name)(s.editor, s.zoo) for name in SCORERS},
    "bootstrap_interval": lambda s: ed.bootstrap_interval([1.0, 2.0], 10),
    "paired_interval": lambda s: ed.paired_interval([1.0, 2.0], [2.0, 2.0], 10),
    "network_intervals": lambda s: ed.network_intervals(s.logits, s.logits, s.task, n_bootstrap=5),
    "compare": lambda s: e.compare(
        {"nothing": b.Nothing().fit(s.zoo, task=s.task)}, s.zoo, s.task, n_bootstrap=5
    ),
    "hypervolume": lambda s: e.hypervolume([[0, 2]], [3, 3]),
    "pareto_front": lambda s: e.pareto_front([[0, 3], [1, 1]]),
    "kendall_tau": lambda s: e.kendall_tau(Ridge().fit([[0], [1]], [0, 1]), [[0], [1]], [0, 1]),
    "least_divergence": lambda s: e.least_divergence(max_violation=1.0)(CV),
    "least_violation": lambda s: e.least_violation(max_divergence=1.0)(CV),
    "measure_edits": lambda s: ed.measure_edits(s.zoo, s.zoo, s.task),
    "metric_frames": frames,
}
