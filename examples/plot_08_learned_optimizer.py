"""
Learn an optimizer and train with it
====================================

Networks of one kind are trained again and again: with other seeds, other rows, other folds. How it
is done in few steps can be learned once. Here it is learned on handwritten digits, in half a
minute, and used three ways: for twenty networks at once, in plain torch, and in skorch. The last
picture is that of the paper on learning on gradients (figure 8): two weights and the curvature that
the mean gradient does not tell.
"""

# %%
# Learn it
# --------
#
# Three rules, each with its settings learned for a training of 150 steps. The objective is the loss
# on held-out rows behind the last step; every round draws other networks, rows and batches.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from torch import nn

from skmeta import GradientMetaOptimizer, Population, Task
from skmeta.networks import Architecture
from skmeta.optimizing import AttachModule, Recipe, Training, unroll

X, y = load_digits(return_X_y=True)
X = ((X - X.mean()) / X.std()).astype(np.float32)
order = np.random.default_rng(0).permutation(len(y))
train, test = (Task(X[rows], y[rows]) for rows in (order[:1200], order[1200:]))
architecture = Architecture.mlp((64, 32, 10))
networks = Population.initialize(architecture, 40, random_state=0)

options = {"horizon": 150, "n_meta_steps": 5, "n_candidates": 12, "n_parallel": 2}
models = {
    rule: GradientMetaOptimizer(rule, random_state=0, **options).fit(networks, task=train)
    for rule in ("adam", "muon", "kfac")
}
for rule, model in models.items():
    print(f"{rule:5s}", {name: float(f"{value:.2g}") for name, value in model.recipe_.items()})

# %%
# Twenty networks that it has not seen
# ------------------------------------
#
# The dashed line is Adam with the best of eight constant learning rates, chosen on the rows that it
# is tested on: a baseline with an advantage.

fresh = Population.initialize(architecture, 20, random_state=1)
seeds = list(range(20))
curves = {
    rule: model.optimizer_.train(fresh, train, seeds=seeds, n_points=30, held_out=test).curves
    for rule, model in models.items()
}
rates = np.geomspace(0.001, 0.05, 8)
adams = []
for lr in rates:
    plain = {"lr": lr, "decay": 0.0, "window": 1e-6, "weight_decay": 0.0}
    recipe, training = Recipe.of("adam", plain, 20), Training(600, 128, 120)
    adams.append(unroll(fresh, train, recipe, training, seeds=seeds, held_out=test).curves.mean(0))
adam = min(adams, key=min)

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for rule, curve in curves.items():
    steps = 5 * np.arange(1, 31)
    axes.plot(steps, curve.mean(0), label=f"learned {rule}, 150 steps")
    axes.fill_between(steps, *np.quantile(curve, [0.1, 0.9], axis=0), alpha=0.2)
axes.plot(5 * np.arange(1, 121), adam, "k--", label="Adam, best constant rate")
axes.set(xlabel="step", ylabel="test loss (nats)", yscale="log", ylim=(0.04, 2.5), xlim=(0, 400))
axes.legend()
plt.show()

# %%
# In plain torch
# --------------
#
# A module shows averaged weights to everybody but its own training. There is nothing to switch.

torch.manual_seed(0)
network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = models["kfac"].to_optimizer()(network)
rows, labels, _ = train.tensors()
for _ in range(150):
    batch = torch.randint(len(rows), (128,))
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(rows[batch]), labels[batch]).backward()
    optimizer.step()
with torch.no_grad():
    right = network(test.tensors()[0]).argmax(1) == test.tensors()[1]
print(f"accuracy behind 150 steps: {right.float().mean():.3f}")

# %%
# In skorch
# ---------
#
# The optimizer that comes with the package was learned on generated tables; nothing is fitted here
# but the network. The learning rate falls over the epochs that the net is given.


class Digits(nn.Module):
    """One hidden layer."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.layers(x)


settings = {"criterion": nn.CrossEntropyLoss, "max_epochs": 12, "verbose": 0, "train_split": None}
pretrained = GradientMetaOptimizer.from_pretrained("tabular-mlp").to_optimizer()
nets = {
    "pretrained": NeuralNetClassifier(
        Digits, optimizer=pretrained, lr=1.0, callbacks=[AttachModule()], **settings
    ),
    "Adam, lr=.001": NeuralNetClassifier(Digits, optimizer=torch.optim.Adam, lr=0.001, **settings),
}
for name, net in nets.items():
    net.fit(train.X, train.y)
    print(f"{name:15s} accuracy {net.score(test.X, test.y):.3f} behind 12 epochs")

# %%
# Two weights
# -----------
#
# A linear regression without noise on rows around (1, 2) and (2, 1), whose targets are all 0
# (section F.2 of the paper): a narrow valley, across the axes. Ten steps of each learned rule from
# four starts. A rule that looks at weights one by one has to cross the valley to and fro; "kfac"
# knows how it lies and goes there more directly. But its steps are all about as long, so that from
# starts at other distances it stops short or goes past: here Adam's, which get shorter, end nearer.

rng = np.random.default_rng(0)
points = np.concatenate([rng.normal(centre, 0.3, (100, 2)) for centre in ((1, 2), (2, 1))])
valley = Task(points, np.zeros(200))
line = Architecture.mlp((2, 1), output="values")
starts = [(1.5, 1.0), (-1.0, 1.5), (-1.5, -0.5), (0.5, -1.5)]


def at(weights: tuple[float, float]) -> nn.Module:
    """Return the regression with these weights."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([weights])
    return nn.Sequential(layer)


many = Population([at(tuple(w)) for w in rng.uniform(-2, 2, (40, 2)).tolist()])
figure, axes = plt.subplots(1, 2, figsize=(9, 4.3), sharey=True, layout="constrained")
grid = np.linspace(-2, 2, 81)
w = np.stack(np.meshgrid(grid, grid), -1)
loss = ((w @ points.T) ** 2).mean(-1)
for panel, rule in zip(axes, ("adam", "kfac"), strict=True):
    model = GradientMetaOptimizer(
        rule, horizon=10, batch_size=200, n_meta_steps=15, n_parallel=8, random_state=0
    ).fit(many, task=valley)
    panel.contour(grid, grid, loss, levels=np.geomspace(0.01, 15, 12), colors="0.8")
    for start in starts:
        module = at(start)
        optimizer = model.to_optimizer()(module)
        path = [start]
        inputs = torch.tensor(points, dtype=torch.float32)
        for _ in range(10):
            optimizer.zero_grad()
            module(inputs).square().mean().backward()
            optimizer.step()
            path.append(tuple(module[0].weight.detach()[0].tolist()))
        panel.plot(*zip(*path, strict=True), ".-")
    panel.plot(0, 0, "k*", markersize=10)
    panel.set(title=f"learned {rule}: averaged weights", xlabel="first weight")
axes[0].set_ylabel("second weight")
plt.show()
