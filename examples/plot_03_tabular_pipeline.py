"""
Start from a table: a Pipeline and a search
===========================================

Who has a table and wants a classifier need not know of zoos and editors.
:class:`~skmeta.estimators.EditedClassifier` is an ordinary classifier: it trains a network, a zoo
around it and an editor, and edits the network. It goes into a Pipeline, and ``GridSearchCV``
chooses ``lam``.
"""

# %%
# A table
# -------
#
# Numbers and a text column, as tables come. The groups are handed over beside it; nothing needs
# them after the fit. (Here the group is also a column of X, as it was.)

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from fairlearn.metrics import (
    equalized_odds_difference,
    false_positive_rate,
    true_positive_rate,
)
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmeta import EditedClassifier, Task
from skmeta.datasets import make_biased_classification
from skmeta.evaluation import least_divergence, metric_frames

bunch = make_biased_classification(10_000, gap=0.2, random_state=0)
X, y, groups = bunch.data, (bunch.target == "yes").astype(int), bunch.sensitive_features["group"]
X_train, X_test, y_train, y_test, groups_train, groups_test = train_test_split(
    X, y, groups, test_size=0.4, stratify=y.astype(str) + groups, random_state=0
)
print(X.head(3).round(2).to_string())

# %%
# A pipeline
# ----------
#
# Networks want numbers of a similar size: encoding and scaling are steps before. The zoo is small,
# to be trained in a second; the defaults are larger.

columns = make_column_transformer(
    (OneHotEncoder(drop="if_binary"), make_column_selector(dtype_exclude="number")),
    (StandardScaler(), make_column_selector(dtype_include="number")),
)
classifier = EditedClassifier(
    MLPClassifier((32,), early_stopping=True),
    lam_range=(0.03, 0.3),
    n_networks=12,
    zoo_epochs=4,
    max_epochs=10,
    random_state=0,
)
pipeline = Pipeline([("columns", columns), ("classifier", classifier)])

# %%
# A search over lam
# -----------------
#
# With metadata routing, ``sensitive_features`` finds its way to the fit and to the scorer that asks
# for it. Accuracy alone would always choose the least edit. So the search takes two scores, and a
# rule: the least log loss among the candidates whose gap keeps a bound.

with sklearn.config_context(enable_metadata_routing=True):
    gap = make_scorer(equalized_odds_difference, greater_is_better=False)
    search = GridSearchCV(
        pipeline,
        {"classifier__lam": [0.03, 0.1, 0.3]},
        scoring={
            "neg_gap": gap.set_score_request(sensitive_features=True),
            "neg_log_loss": get_scorer("neg_log_loss"),
            "accuracy": get_scorer("accuracy"),
        },
        refit=least_divergence(max_violation=0.1, measure="neg_gap", divergence="neg_log_loss"),
        cv=3,
    )
    search.fit(X_train, y_train, sensitive_features=groups_train)

table = pd.DataFrame(search.cv_results_)
names = ["neg_gap", "neg_log_loss", "accuracy"]
table = table.set_index("param_classifier__lam")[[f"mean_test_{name}" for name in names]]
print(table.round(3).to_string())
print(search.best_params_)

# %%
# What was chosen
# ---------------
#
# The fitted classifier keeps its network from before the edit, so that both can be compared on new
# rows. Look at the rates and not only at their differences: the gap has shrunk because those in B
# are granted more, *and* because those in A are granted less. ``report`` adds intervals from
# resampled rows.

best = search.best_estimator_
edited = best.named_steps["classifier"]
test = Task(best[:-1].transform(X_test), y_test, sensitive_features=groups_test)
metrics = {"TPR": true_positive_rate, "FPR": false_positive_rate, "accuracy": accuracy_score}
frames = metric_frames(edited.estimator_, edited.edited_estimator_, test, metrics=metrics)
by_group = {"before": frames.before.by_group, "after": frames.after.by_group}
print(pd.concat(by_group, axis=1).round(3).to_string())

report = edited.report(test.X, y_test, sensitive_features=groups_test)
print(report.T.to_string(header=False))

# %%
# Another lam, without another fit
# --------------------------------
#
# The editor was fitted for a range of ``lam``. ``reedit`` moves to another one in milliseconds; the
# pipeline then predicts with it. The bands are 95 % intervals of the change, from resampled rows.

lams = np.geomspace(0.03, 0.3, 7)
reports = []
for lam in lams:
    edited.set_params(lam=lam).reedit()
    reports.append(edited.report(test.X, y_test, sensitive_features=groups_test, n_bootstrap=200))
reports = pd.concat(reports)

figure, axes = plt.subplots(1, 2, figsize=(9, 3.9), layout="constrained")
titles = {"measure": "equalized odds difference", "accuracy": "accuracy"}
for ax, (name, title) in zip(axes, titles.items(), strict=True):
    before = reports[f"{name}_before"].iloc[0]
    ax.axhline(before, color="black", linewidth=0.8, linestyle="--", label="before the edit")
    ax.plot(lams, reports[f"{name}_after"], "o-", color="#0072b2", label="after")
    low, high = (before + reports[f"{name}_change_{end}"] for end in ("low", "high"))
    ax.fill_between(lams, low, high, color="#0072b2", alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel="lam", title=title)
    ax.set_xticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    ax.minorticks_off()
axes[0].set_ylim(bottom=0)
axes[0].legend(frameon=False)
figure.suptitle("One classifier along lam, on 4,000 test rows", fontsize=11)

# %%
# What a table cannot tell
# ------------------------
#
# The edit reduces a measured gap on this data. With one classifier and one ``lam``, fine-tuning it
# (:class:`~skmeta.baselines.FineTune`) is cheaper than a zoo and an editor. And the fitted
# classifier keeps the reference rows with their groups in ``editor_``: to hand on less, hand on
# ``edited_estimator_``.

plt.show()
