"""
Start from a table: a Pipeline and a budget
===========================================

Who has a table and wants a classifier need not know of zoos and editors.
:class:`~skmeta.estimators.EditedClassifier` is an ordinary classifier in a Pipeline. You say how
much skill its edit may cost; it gives the smallest gap for that, or the network as it is with the
reason.
"""

# %%
# A table
# -------
#
# Numbers and a text column, as tables come. The groups are handed over beside it; nothing needs
# them after the fit, and they are no column of X.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from fairlearn.metrics import equalized_odds_difference
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmeta import EditedClassifier
from skmeta.datasets import make_biased_classification

bunch = make_biased_classification(12_000, gap=0.3, proxy_strength=3.0, random_state=0)
X, y, groups = bunch.data.drop(columns="group"), bunch.target == "yes", bunch.data["group"]
X["region"] = np.where(X["proxy_1"] > 0, "north", "south")
X_train, X_test, y_train, y_test, groups_train, groups_test = train_test_split(
    X, y, groups, test_size=0.5, stratify=y.astype(str) + groups, random_state=0
)
print(X.head(3).round(2).to_string())

# %%
# A pipeline
# ----------
#
# Networks want numbers of a similar size: encoding and scaling are steps before. The edit may cost
# two points, of accuracy and of balanced accuracy.

columns = make_column_transformer(
    (OneHotEncoder(drop="if_binary"), make_column_selector(dtype_exclude="number")),
    (StandardScaler(), make_column_selector(dtype_include="number")),
)
classifier = EditedClassifier(
    MLPClassifier((32,), early_stopping=True), max_accuracy_drop=0.02, random_state=0
)
pipeline = Pipeline([("columns", columns), ("classifier", classifier)])
pipeline.fit(X_train, y_train, classifier__sensitive_features=groups_train)
edited = pipeline["classifier"]
print(edited.choice_.to_string())

# %%
# The verdict
# -----------
#
# The fitted classifier keeps its network from before the edit, so that both can be compared on new
# rows. Look at the rates and not only at their differences: who gains, and who loses?

rows = columns.transform(X_test)
report = edited.report(rows, y_test, sensitive_features=groups_test)
print(report.T.to_string(header=False))

rates = edited.report_by_group(rows, y_test, sensitive_features=groups_test)
print(rates.round(3).T.to_string())

# %%
# The front
# ---------
#
# ``fit`` has measured many candidates on rows that neither network nor edit has seen. Each grey
# point is one of them. ``reedit`` chooses again among them, in milliseconds; the coloured points
# are what it chooses at five budgets, and the crosses what these do on the test rows.

front = edited.front_
base = front.loc[0]
chosen, on_test = [], []
for budget in (0.005, 0.01, 0.02, 0.03, 0.05):
    edited.reedit(max_accuracy_drop=budget)
    chosen.append(front.loc[edited.choice_["candidate"]])
    labels = edited.predict(rows)
    gap = equalized_odds_difference(y_test, labels, sensitive_features=groups_test)
    on_test.append((balanced_accuracy_score(y_test, labels), gap))
chosen, on_test = pd.DataFrame(chosen), np.array(on_test)
before = edited.estimator_.predict(rows)
gap_before = equalized_odds_difference(y_test, before, sensitive_features=groups_test)

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
sound = front[~front["degenerate"]]
ax.plot(sound["balanced_accuracy"], sound["gap_held"], ".", color="0.75", label="candidates")
ax.plot(chosen["balanced_accuracy"], chosen["gap_held"], "o", color="#0072b2", label="chosen")
ax.plot(*on_test.T, "x", color="#0072b2", markersize=8, label="chosen, on test rows")
ax.plot(base["balanced_accuracy"], base["gap_held"], "s", color="black", label="before")
skill_before = balanced_accuracy_score(y_test, before)
ax.plot(skill_before, gap_before, "x", color="black", markersize=8, label="before, on test rows")
ax.set(xlabel="balanced accuracy", ylabel="equalized odds difference", ylim=(0, None))
ax.set_title("Candidates for one network, on rows held out", fontsize=11)
ax.legend(frameon=False)

# %%
# What a table cannot tell
# ------------------------
#
# The edit reduces a measured gap on this data. It guarantees nothing about other people, and does
# not remove what has made the gap. To hand on less than the fitted classifier, which keeps the
# labels and groups of its rows, hand on ``edited_estimator_``.

plt.show()
