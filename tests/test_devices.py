"""A step of many networks talks to no host and runs no kernel for each network.

Steps are counted by what more of them cost: everything else (reading networks, checks, reports)
may look at numbers. With a GPU the same runs there.
"""

import sys
from collections import Counter
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from skmeta import ComplianceEditor, WeightSpaceRegressor
from skmeta.baselines import AdditiveCorrection, FineTune, distill
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.optimizing import MetaTraining, Recipe, Training
from skmeta.optimizing.unrolling import Run
from skmeta.requirements import FairTeacher
from skmeta.zoo import MLPSearchSpace, make_zoo

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
TO_HOST = {"cpu", "numpy", "item", "tolist", "__bool__", "__int__", "__float__", "__index__"}
FROM_HOST = {"tensor", "as_tensor", "from_numpy"}
DRAWS = {"randperm", "rand", "randn", "randint", "uniform_", "normal_", "bernoulli", "multinomial"}
DRAWS |= {"bernoulli_", "random_", "native_dropout", "randint_like", "rand_like"}


class Transfers(TorchFunctionMode):
    """Counts what the package, and not a library, moves between host and device."""

    def __init__(self, device):
        super().__init__()
        self.device, self.seen = torch.device(device), Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in TO_HOST | FROM_HOST and (where := self._where()):
            self.seen[f"{name} in {where}"] += 1
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != self.device.type:
            self.seen[f"{name} drawn on {generator.device}"] += 1
        return func(*args, **kwargs)

    @staticmethod
    def _where():
        """Return the caller's place in the package, "" if a library calls."""
        frame = sys._getframe(2)
        while frame and frame.f_globals.get("__name__", "").startswith(("torch.", "skmeta._")):
            frame = frame.f_back
        name = frame.f_globals.get("__name__", "") if frame else ""
        return f"{name}:{frame.f_lineno}" if name.startswith("skmeta.") else ""


class Kernels(TorchDispatchMode):
    """Counts what runs on a device."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[func._schema.name.removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


def counted(call, device):
    with Transfers(device) as transfers, Kernels() as kernels:
        call()
    return transfers.seen, kernels.seen


TASK, REFERENCE, _ = split_tasks(make_biased_classification(2000, random_state=0), "group")
SPACE = MLPSearchSpace(
    n_hidden_layers=(2,), hidden_widths=(8,), norms=("batch",), activations=("relu",), n_skips=(1,),
    batch_sizes=(64,),
)  # fmt: skip


def zoo(n, n_steps, device="cpu"):
    """Train for one epoch of so many steps; a tenth of the rows is for validation."""
    options = {"n_checkpoints": 1, "progress": False, "random_state": 0, "device": device}
    task = TASK.subset(np.arange(72 * n_steps))
    return make_zoo(task, n, search_space=SPACE, epochs=1, **options)


NETWORKS = zoo(8, 2)


def fine_tuning(n, n_steps, device):
    tune = FineTune(n_steps=n_steps, n_per_cell=8, random_state=0).fit([], task=REFERENCE)
    tune.transform(NETWORKS[:n].to(device))


def distilling(n, n_steps, device):
    networks = NETWORKS[:n].to(device)
    distill(networks, networks, REFERENCE, n_steps=n_steps, random_state=0)


def correcting(n, n_steps, device):
    rival = AdditiveCorrection(n_steps=n_steps, random_state=0).fit([], task=REFERENCE)
    rival.predict_logits(NETWORKS[:n].to(device), REFERENCE)


def learning(estimator, n, n_steps, device):
    """One epoch of n networks in so many batches."""
    estimator.set_params(max_epochs=1, batch_size=n // n_steps, device=device, random_state=0)
    estimator.set_params(hidden_channels=4, n_layers=1)
    if isinstance(estimator, ComplianceEditor):
        estimator.fit(NETWORKS[:n], task=REFERENCE)
    else:
        estimator.fit(NETWORKS[:n], np.arange(n))


def training(perceptron, n, n_steps, device):
    """K-FAC with all that is learned, for so many steps."""
    networks = NETWORKS[:n].to(device)
    scalars = Recipe.start("kfac").floats[0]
    plan = MetaTraining("kfac", scalars, True, Training(n_steps, 64), 1, 1, n, 0)
    recipe = plan.recipe(plan.start().numbers) if perceptron else Recipe.start("kfac")
    many = recipe.select([0] * n).to(device, torch.float32)
    ((_, stack),) = networks.blocks
    run = Run(stack, TASK, many, Training(n_steps, 64), seeds=range(n))
    run.advance()


RUNS = {
    "zoo": zoo,
    "optimizer": partial(training, False),
    "optimizer with perceptron": partial(training, True),
    "fine-tuning": fine_tuning,
    "distillation": distilling,
    "additive correction": correcting,
    "editor, neuron": partial(learning, ComplianceEditor(metanet="neuron")),
    "editor, taught": partial(learning, ComplianceEditor(teacher=FairTeacher(max_iter=2))),
    "editor, graph": partial(learning, ComplianceEditor(metanet="graph")),
    "reader, nfn": partial(learning, WeightSpaceRegressor(metanet="nfn-np")),
    "reader, neuron": partial(learning, WeightSpaceRegressor(metanet="neuron")),
}


@cache
def warmed(run, device):
    """What is computed once and kept is no part of a step."""
    RUNS[run](4, 1, device)


@cache
def of_steps(run, n, device):
    """What another step costs: transfers and kernels by name."""
    warmed(run, device)
    few, many = (counted(partial(RUNS[run], n, k, device), device) for k in (1, 2))
    for one, other in zip(few, many, strict=True):
        other.subtract(one)
    return [{name: k for name, k in each.items() if k > 0} for each in many]


# What is not done yet.
TRAINED = "zoo", "optimizer", "optimizer with perceptron"
DRAWN = "each network has a stream of its own, and it is on the host"
CHOSEN = "choosing the networks of a batch describes their architectures anew"
TALKING = {
    **dict.fromkeys(
        [(name, device) for name in RUNS if ", " in name for device in DEVICES], CHOSEN
    ),
    **dict.fromkeys([(name, "cuda") for name in TRAINED], DRAWN),
}
GROWING = {(name, device): DRAWN for name in TRAINED for device in DEVICES}


def runs(known):
    """Return all runs on all devices; those with a known fault must fail."""
    marks = {where: pytest.mark.xfail(reason=why, strict=True) for where, why in known.items()}
    places = [(run, device) for run in RUNS for device in DEVICES]
    return [pytest.param(*p, marks=marks.get(p, ()), id="-".join(p)) for p in places]


@pytest.mark.parametrize("run, device", runs(TALKING))
def test_a_step_stays_on_the_device(run, device):
    transfers, _ = of_steps(run, 4, device)
    assert transfers == {}


@pytest.mark.parametrize("run, device", runs(GROWING))
def test_a_step_runs_no_kernel_for_each_network(run, device):
    few, many = (of_steps(run, n, device)[1] for n in (4, 8))
    assert {name: k - few.get(name, 0) for name, k in many.items() if k > few.get(name, 0)} == {}
