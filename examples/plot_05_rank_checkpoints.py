"""
Rank checkpoints without data
=============================

Which of many trained networks is best? Usually one runs them all on held-out rows. Here a
*reader* looks at the weights alone: it has seen other networks of the same task with their
accuracies, and none of the rows.
"""

# %%
# A zoo of digit classifiers
# --------------------------
#
# 400 runs on small images of digits, with learning rates over three orders of magnitude and three
# checkpoints each. Their accuracy on rows that they were not trained on is what the reader learns.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.pipeline import make_pipeline

from skmeta import Task, WeightSpaceRegressor, WeightStatistics, make_zoo
from skmeta.evaluation import kendall_tau
from skmeta.zoo import MLPSearchSpace

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=0)
space = MLPSearchSpace(
    n_hidden_layers=(1, 2),
    hidden_widths=(16, 24, 32),
    activations=("relu", "tanh"),
    norms=("none",),
    n_skips=(0,),
    batch_sizes=(64,),
    learning_rate=(1e-4, 1e-1),
)
task = Task(X_train, y_train)
zoo = make_zoo(task, 400, search_space=space, epochs=12, progress=False, random_state=0)
accuracy = zoo.score(X_test, y_test)
print(zoo)
print(f"accuracies from {accuracy.min():.2f} to {accuracy.max():.2f}")

# %%
# Readers, and the rival
# ----------------------
#
# The split keeps the checkpoints of a run together: they resemble each other, and a reader that has
# seen one of them would only have to remember. ``"neuron"`` passes messages along the weights.
# The rival knows nothing but means, variances and quantiles of each layer.

split = GroupShuffleSplit(1, test_size=0.3, random_state=0)
[(train, test)] = split.split(zoo, groups=zoo.metadata["run"])
readers = {
    "gradient boosting on statistics": make_pipeline(
        WeightStatistics(), HistGradientBoostingRegressor(random_state=0)
    ),
    "message passing on weights": WeightSpaceRegressor(
        metanet="neuron", hidden_channels=32, max_epochs=15, lr=2e-3, random_state=0
    ),
}
predicted = {}
for name, reader in readers.items():
    reader.fit(zoo[train], accuracy[train])
    predicted[name] = reader.predict(zoo[test])
    print(f"{name:>32}: Kendall tau {kendall_tau(reader, zoo[test], accuracy[test]):.2f}")

figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
for ax, (name, values) in zip(axes, predicted.items(), strict=True):
    ax.scatter(accuracy[test], values, s=10, alpha=0.6, color="#0072b2", linewidths=0)
    ax.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    ax.set(xlabel="accuracy on held-out rows", title=name)
axes[0].set_ylabel("accuracy predicted from the weights")

# %%
# Both order networks of new runs well. On a zoo of this size the simple rival is the one to beat:
# always show it.
#
# Choosing with it
# ----------------
#
# The accuracy of the network that comes first, and the mean of the first ten.

order = {name: np.argsort(-values, kind="stable") for name, values in predicted.items()}
order["accuracy itself"] = np.argsort(-accuracy[test], kind="stable")
table = pd.DataFrame(
    {name: [accuracy[test][o[0]], accuracy[test][o[:10]].mean()] for name, o in order.items()},
    index=["first", "first ten"],
)
table["mean of all"] = accuracy[test].mean()
print(table.T.round(3))

# %%
# A reader knows the task and the kind of networks that it was trained on, and nothing else: on
# networks of another task its numbers mean nothing.

plt.show()
