"""
Fewer inputs, fewer weights
===========================

A classifier often uses columns it hardly needs, and most of its weights could go. One editor per
requirement chooses what goes, network by network, and makes up for it in what stays.
"""

# %%
# A zoo and two editors
# ---------------------
#
# Neither requirement looks at groups. Both editors are trained on random budgets: one fit serves
# all of them.

import matplotlib.pyplot as plt
import pandas as pd

from skmeta import ComplianceEditor, make_zoo
from skmeta.baselines import PermutationSelection, Prune
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.editing import measure_edits
from skmeta.evaluation import EditDisplay
from skmeta.requirements import DataMinimization, Pruning

bunch = make_biased_classification(10_000, random_state=0)
train, reference, test = split_tasks(bunch, "group", random_state=0)
zoo = make_zoo(train, 30, epochs=4, progress=False, random_state=0)
networks = make_zoo(train, 12, epochs=4, n_checkpoints=1, progress=False, random_state=1)

options = {"max_epochs": 8, "batch_size": 16, "random_state": 0}
minimizer = ComplianceEditor(DataMinimization(budget=5), **options).fit(zoo, task=reference)
pruner = ComplianceEditor(Pruning(budget=0.25), **options).fit(zoo, task=reference)

# %%
# Beside simple rivals
# --------------------
#
# The rivals mask and change nothing else: permutation importance, shared by all networks, and
# Wanda, which weighs each weight with its input. (With gradient steps behind them they come much
# closer, at many times the cost: ``n_steps=`` and ``n_epochs=``.)


def rows(name, requirement, budgets, editor, rival):
    for budget in budgets:
        editor.set_params(requirement__budget=budget)
        simple = rival(budget).fit(zoo, task=reference)
        for method, edited in (
            ("editor", editor.transform(networks)),
            ("mask only", simple.transform(networks)),
        ):
            frame = measure_edits(networks, edited, test, requirement)
            yield {"what": name, "method": method, **frame.mean()}


table = pd.DataFrame(
    [
        *rows(
            "inputs",
            DataMinimization(),
            (8, 6, 5, 4),
            minimizer,
            lambda budget: PermutationSelection(budget=budget, random_state=0),
        ),
        *rows(
            "weights",
            Pruning(),
            (0.5, 0.35, 0.25, 0.15),
            pruner,
            lambda budget: Prune("wanda", budget=budget, random_state=0),
        ),
    ]
)

figure, axes = plt.subplots(1, 2, figsize=(9, 3.9), layout="constrained")
for ax, (what, part) in zip(axes, table.groupby("what"), strict=True):
    for method, curve in part.groupby("method"):
        color = "#0072b2" if method == "editor" else "#d55e00"
        ax.plot(curve["measure"], 1e3 * curve["divergence"], "o-", color=color, label=method)
    ax.set(xlabel=f"share of the {what} that stays", ylabel="divergence, nats x 1000", title=what)
    ax.set_ylim(bottom=0)
axes[0].legend(frameon=False)

# %%
# What stayed
# -----------
#
# ``report`` names the inputs that each network keeps; the others need not be collected for it.

minimizer.set_params(requirement__budget=5)
report = minimizer.report(networks, task=test, n_bootstrap=100)
print(report[["divergence", "accuracy_before", "accuracy_after", "kept"]].head().to_string())
EditDisplay.from_networks(networks, minimizer.transform(networks), test).plot(kind="inputs")
