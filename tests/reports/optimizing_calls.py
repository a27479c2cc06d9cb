"""One small call of everything public that has to do with optimizers."""

from collections.abc import Callable
from typing import Any

import torch
from skorch import NeuralNetClassifier

import skmeta
from skmeta import networks as n
from skmeta import optimizing as o


def optimizers(s: Any) -> None:
    for rule, seed in (("adam", None), ("kfac", 0)):
        model = skmeta.GradientMetaOptimizer(rule, horizon=5, n_meta_steps=1, random_state=seed)
        model.fit(s.zoo, task=s.task).transform(list(s.zoo[:2]))
        model.score(s.zoo)


def trained_module(s: Any) -> torch.nn.Module:
    module = n.to_module(s.zoo.records()[0])
    optimizer = o.OptimizerFactory(o.Optimizer.start("kfac", o.Training(3, 8)))(module)
    for _ in range(3):
        module(s.X).square().mean().backward()
        optimizer.step()
    return module.eval()


def attached(s: Any) -> Any:
    factory = o.OptimizerFactory(o.Optimizer.start("adam", o.Training(3, 8)))
    module = n.to_module(s.zoo.records()[0])
    net = NeuralNetClassifier(module, optimizer=factory, lr=1.0).initialize()
    return o.AttachModule().on_train_begin(net)


def meta_trained(s: Any) -> Any:
    scalars = o.Recipe.start("sgdm").floats[0]
    plan = o.MetaTraining("sgdm", scalars, True, o.Training(4, 8), 2, 1, 2, 0)
    return list(plan.rounds([o.Problem(s.zoo, s.task)], plan.start()))


def unrolled(s: Any) -> Any:
    optimizer = o.Optimizer.start("muon", o.Training(3, 8))
    return optimizer.train(s.zoo, s.task, seeds=range(6))


def searched(s: Any) -> Any:
    problems = [o.Problem(s.zoo, s.task)]
    search = o.Search("kfac", o.Training(3, 8), 1, 2, 1, 0)
    (progress,) = search.rounds(problems, o.Progress.start("kfac"))
    return search.winner(problems, progress)


OPTIMIZING: dict[str, Callable[[Any], Any]] = {
    "GradientMetaOptimizer": optimizers,
    **dict.fromkeys(("Search", "Progress"), searched),
    **dict.fromkeys(("LearnedOptimizer", "OptimizerFactory"), trained_module),
    **dict.fromkeys(("MetaTraining", "LearnedRule", "PersistentES"), meta_trained),
    "AttachModule": attached,
    "Recipe": lambda s: o.Recipe.start("kfac", 2).select([0]).floats,
    **dict.fromkeys(("Optimizer", "unroll"), unrolled),
}
