"""
Edit a classifier in one forward pass
=====================================

You have a fitted classifier and measure a gap between two groups. Here a learned *editor* changes
its weights in one forward pass, so that the gap on this data shrinks and the predictions change
little. The editor has never seen the classifier: it was trained on a small *zoo* of others.
"""

# %%
# A task with a known gap
# -----------------------
#
# The generated people of groups A and B have the same merit, but those in B are granted less
# often. One part of the rows trains networks, one the editor, and one measures.

import matplotlib.pyplot as plt
from sklearn.neural_network import MLPClassifier

from skmeta import ComplianceEditor, make_zoo
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.evaluation import EditDisplay, GroupRatesDisplay, ParetoFrontDisplay

bunch = make_biased_classification(10_000, gap=0.2, random_state=0)
train, reference, test = split_tasks(bunch, "group")

# %%
# The classifier
# --------------
#
# Any ``MLPClassifier``, with the labels that it has.

classifier = MLPClassifier((64, 32), early_stopping=True, random_state=0)
classifier.fit(train.X, train.classes[train.y])
print(f"accuracy {classifier.score(test.X, test.classes[test.y]):.3f}")

# %%
# A zoo and an editor
# -------------------
#
# The zoo samples depths, widths, activations and training settings, and keeps three checkpoints
# of each run. ``lam`` weighs the gap against the change of the predictions; ``lam_range`` trains
# one editor for a range of it. Some hundred runs and 60 epochs are better than what fits here.

zoo = make_zoo(train, 50, epochs=4, progress=False, random_state=0)
editor = ComplianceEditor(lam_range=(0.03, 0.3), max_epochs=14, batch_size=16, random_state=0)
editor.fit(zoo, task=reference)

# %%
# The edit
# --------
#
# A list of classifiers goes in, a list of classifiers comes out. ``edited`` is an ``MLPClassifier``
# like any other, and needs nobody's group to predict (here the group is a column of X, as it was).

[edited] = editor.transform([classifier], lam=0.1)
print(type(edited).__name__, f"accuracy {edited.score(test.X, test.classes[test.y]):.3f}")


display = GroupRatesDisplay.from_networks([classifier], [edited], test)

# %%
# Before the edit, those in A are granted more often than those in B both among the people who
# should get a "yes" (true positives) and among those who should not (false positives).
# Afterwards the rates are closer. How much of that is luck of these 3,000 rows? ``report`` says it,
# with 95 % intervals.

report = editor.report([classifier], task=test, lam=0.1)
print(report.T.to_string(header=False))

# %%
# What has changed in the weights
# -------------------------------
#
# For 20 other networks that the editor has not seen, each from a run of its own. Most layers change
# by a fraction of what they were. Weights can also change much where predictions hardly do: behind
# a layer normalisation, or where a sigmoid is saturated, a large step has a small effect. That is
# why skmeta measures the change of predictions, the divergence, and not that of the weights.

others = make_zoo(train, 20, epochs=4, n_checkpoints=1, progress=False, random_state=1)
display = EditDisplay.from_estimator(editor, others, task=test)
display.ax_.set_yscale("log")
display.ax_.set_ylim(0.01, 200)

# %%
# The front
# ---------
#
# The same editor goes along the front, without being trained again. Measured on held-out rows, for
# the same 20 networks. Where a larger ``lam`` does not buy a smaller gap on these
# rows, the gap has reached the noise of the rows, or so small an editor has reached its limit.

display = ParetoFrontDisplay.from_estimator(editor, others, task=test)
display.ax_.set_title("Mean over 20 networks that the editor has not seen")

# %%
# What it costs
# -------------
#
# CPU seconds. ``break_even`` is the number of edits after which zoo and editor have paid off
# against 40 steps of fine-tuning that are batched over many networks. With one classifier only,
# fine-tune it.

for name, value in editor.cost_.items():
    print(f"{name:>18}: {value:.4g}")

# %%
# What it does not do
# -------------------
#
# The edit reduces a measured gap on this data. It guarantees nothing about other people, other
# groups or another criterion; a gap of one classifier on some thousand rows is uncertain by some
# hundredths; and equal error rates cost accuracy wherever base rates differ.

plt.show()
