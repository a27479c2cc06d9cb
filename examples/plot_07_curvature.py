"""
See a network's curvature from 32 gradients
===========================================

How much the predictions of a network depend on each of its weights is the diagonal of its Fisher
information: a mean over all rows. Here it is estimated for twenty networks at once from 32 rows,
in three ways, and used for one thing that people want it for: how far a logit may be off on new
rows.
"""

# %%
# A population that tells what curvature looks like
# -------------------------------------------------
#
# Training needs networks and rows, no labels. The networks to look at have other widths.

import matplotlib.pyplot as plt
import numpy as np
import torch

from skmeta import CurvatureRegressor, make_zoo
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.gradients import Program
from skmeta.zoo import MLPSearchSpace

train, other, test = split_tasks(make_biased_classification(8000, random_state=0), "group")
options = {"epochs": 5, "n_checkpoints": 1, "progress": False}
space = MLPSearchSpace(n_hidden_layers=(2,), hidden_widths=(16, 24))
zoo = make_zoo(train, 160, search_space=space, random_state=0, **options)
space = MLPSearchSpace(n_hidden_layers=(2,), hidden_widths=(32,))
new = make_zoo(train, 20, search_space=space, random_state=1, **options)

# %%
# Three estimates from the same rows, and the truth
# -------------------------------------------------
#
# The score is minus the squared error over the target's squares, on average over networks. Zeros
# would have -1. With four times the rows the plain mean is better than what is learned from
# a quarter: where rows are cheap, take more of them.

sizes = {"n_gradients": 32, "n_target": 2048, "random_state": 0}
models = {
    method: CurvatureRegressor(method, **sizes).fit(zoo, task=other)
    for method in ("standard", "shrunk", "sample-weights")
}
models["standard, 128 rows"] = CurvatureRegressor("standard", **(sizes | {"n_gradients": 128}))
models["standard, 128 rows"].fit(zoo, task=other)
scores = {name: model.score(new, task=test) for name, model in models.items()}
for name, score in scores.items():
    print(f"{name:20s} {score:.3f}")

# %%
# The first layer of one network
# ------------------------------

exact = CurvatureRegressor("standard", n_gradients=2048, n_target=2048, random_state=0)
models["all rows"] = exact.fit(zoo, task=other)
figure, axes = plt.subplots(1, 4, figsize=(11, 4), sharey=True, layout="constrained")
shown = ("standard", "shrunk", "sample-weights", "all rows")
found = {name: models[name].predict(new[:1], task=test) for name in shown}
weights = {name: found[name].records()[0].tensors["0.weight"] for name in shown}
largest = float(weights["all rows"].max())
for axis, (name, values) in zip(axes, weights.items(), strict=True):
    image = axis.imshow(values, vmin=0, vmax=largest, cmap="viridis", aspect="auto")
    axis.set(title=name, xlabel="input")
axes[0].set_ylabel("hidden neuron")
figure.colorbar(image, ax=axes, label="curvature")

# %%
# How far a logit may be off
# --------------------------
#
# In a Laplace approximation a weight is uncertain by one over n times its curvature (and a
# prior of precision 1, which a user would choose on held-out rows). What that does to a logit is
# one backward pass: the squares of its gradient times these variances. No matrix of weights by
# weights is ever held.

stack = new[:1].blocks[0][1]
X, _, _ = test.tensors()
program = Program(stack)
logits, trace = program.forward(X[:500])
difference = torch.tensor([-1.0, 1.0]).expand_as(logits)
gradients = program.backward(trace, difference).per_sample().flat[0]
spread = {}
for name in ("sample-weights", "all rows"):
    curvature = found[name].blocks[0][1].weights.flat[0]
    spread[name] = (gradients.square() / (train.n_samples * curvature + 1.0)).sum(1).sqrt()
figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
axis.scatter(spread["all rows"], spread["sample-weights"], s=4)
low, high = (float(f(spread["all rows"])) for f in (torch.min, torch.max))
axis.plot([low, high], [low, high], color="gray")
axis.set(xlabel="deviation of the logit, all rows", ylabel="... 32 rows, learned")
axis.set(xscale="log", yscale="log")
ratio = (spread["sample-weights"] / spread["all rows"]).median()
order = np.corrcoef(*(spread[name].numpy().argsort().argsort() for name in spread))[0, 1]
print(f"median ratio {ratio:.2f}, rank correlation {order:.2f}")
plt.show()
