"""Four copies of a network: their weights, what they compute, what readers make of them."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.neural_network import MLPClassifier

from skmeta import Population
from skmeta.metanets import Metanet

# A network of one input, so that what it computes is a curve.
x = np.linspace(-1, 1, 400)[:, None]
model = MLPClassifier((6, 6), solver="lbfgs", alpha=0.03, max_iter=1000, random_state=4)
model.fit(x, np.cos(6 * x[:, 0]) > 0.2)
original = Population([model]).to(dtype=torch.float64)

# Neurons of the first hidden layer change places, but the weights out of them do not follow.
[record] = original.records()
torn = dict(record.tensors)
order = torch.tensor([3, 5, 0, 4, 1, 2])
for name in ("0.weight", "0.bias"):
    torn[name] = torn[name][order]

copies = {
    "original": original,
    "neurons permuted": original.permuted(3),
    "neurons rescaled": original.rescaled(0, max_scale=3),
    "one layer permuted alone": Population.from_records([type(record)(record.architecture, torn)]),
}

torch.manual_seed(0)
zoo = Population.initialize(original.architectures[0], 64, random_state=0).to(dtype=torch.float64)
stacks = [stack for _, stack in zoo.depth_blocks()]
names = ["statistics", "nfn-hnp", "monomial"]
readers = [Metanet.reader(name, stacks, 16).double() for name in names]


def features(population):
    """Return what each untrained reader says of a network."""
    [(_, stack)] = population.depth_blocks()
    with torch.no_grad():
        return [reader(reader.inputs(stack))[0] for reader in readers]


figure = plt.figure(figsize=(10, 6.2), layout="constrained")
grid = figure.add_gridspec(3, 4, height_ratios=(1.1, 1, 0.8))
reference = features(original)
for column, (title, copy) in enumerate(copies.items()):
    ax = figure.add_subplot(grid[0, column])
    [tensors] = (record.tensors for record in copy.records())
    matrices = [tensors[f"{stage}.weight"].numpy() for stage in range(3)]
    gap = np.full((6, 1), np.nan)
    first, second, last = matrices
    last = np.vstack([last, np.full((6 - len(last), last.shape[1]), np.nan)])
    ax.imshow(np.hstack([first, gap, second, gap, last]), cmap="RdBu", vmin=-6, vmax=6)
    ax.set(xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(False)
    ax = figure.add_subplot(grid[1, column])
    ax.plot(x, model.predict_proba(x)[:, 1], color="0.75", linewidth=5)
    ax.plot(x, copy.predict_proba(x)[0][:, 1], color="black", linewidth=1.2)
    ax.set(xlabel="input", ylim=(-0.05, 1.05), yticks=(0, 1))
    bars = figure.add_subplot(grid[2, column])
    change = [
        max(float((a - b).norm() / a.norm()), 1e-17)
        for a, b in zip(reference, features(copy), strict=True)
    ]
    bars.barh(names, change, left=0, color=["C7", "C0", "C1"])
    bars.set(xscale="log", xlim=(1e-17, 10), xticks=(1e-15, 1e-8, 1e-1))
    bars.invert_yaxis()
    if column:
        ax.set_yticklabels([])
        bars.set_yticklabels([])
    else:
        ax.set_ylabel("probability")
    bars.set_xlabel("relative change of the reading")
plt.show()
