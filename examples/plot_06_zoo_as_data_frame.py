"""
A zoo as a data frame in a Pipeline
===================================

Networks are samples, so what is known about samples works: describe them with columns, put the
columns into a pipeline, ask which of them matter. And a table with a row of weights per network is
a population, too.
"""

# %%
# A frame of statistics
# ---------------------
#
# A column per layer and statistic. Networks have one to four hidden layers here; a layer that a
# network does not have is NaN.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.pipeline import make_pipeline

from skmeta import WeightSpaceClassifier, WeightStatistics, make_zoo
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.evaluation import kendall_tau
from skmeta.networks import Architecture
from skmeta.population import to_rows
from skmeta.zoo import MLPSearchSpace

bunch = make_biased_classification(4000, random_state=0)
task, _, _ = split_tasks(bunch, "group", random_state=0)
unnormalised = MLPSearchSpace(norms=("none",))
zoo = make_zoo(task, 150, search_space=unnormalised, epochs=5, progress=False, random_state=0)
frame = WeightStatistics().set_output(transform="pandas").fit_transform(zoo)
print(frame.iloc[:5, [0, 1, 14, 15, -14, -13]].round(3).to_string())

# %%
# A pipeline
# ----------
#
# With which learning rate was a network trained? ``WeightStatistics`` is a transformer like any
# other. The search splits by ``run``: checkpoints of one run in two folds would make the score too
# good.

log_rate = np.log10(zoo.metadata["learning_rate"].to_numpy())
runs = zoo.metadata["run"]
split = GroupShuffleSplit(1, test_size=0.3, random_state=0)
[(train, test)] = split.split(zoo, groups=runs)
search = GridSearchCV(
    make_pipeline(WeightStatistics(), HistGradientBoostingRegressor(random_state=0)),
    {"histgradientboostingregressor__learning_rate": [0.03, 0.1]},
    cv=GroupKFold(3),
    scoring=kendall_tau,
)
search.fit(zoo[train], log_rate[train], groups=runs.iloc[train])
print(search.best_params_)
print(f"Kendall tau on new runs: {search.score(zoo[test], log_rate[test]):.2f}")

# %%
# Which statistics tell it? A column counts by what the score loses when its values are shuffled.

model = search.best_estimator_[-1]
columns = search.best_estimator_[:-1].get_feature_names_out()
table = search.best_estimator_[:-1].transform(zoo[test])
importance = permutation_importance(
    model, table, log_rate[test], n_repeats=5, random_state=0
).importances_mean
largest = pd.Series(importance, columns).nlargest(8)[::-1]
figure, ax = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
ax.barh(largest.index, largest, color="#0072b2")
ax.set(xlabel="loss of R² when the column is shuffled", title="What tells the learning rate")

# %%
# The extremes of the first layer: large steps leave large weights behind.
#
# Rows of weights
# ---------------
#
# Zoos are often stored as tables with a row of weights per network. With the architecture of the
# rows, an estimator knows which numbers are a neuron. The same question, as two classes:

architecture = Architecture.mlp((task.n_features, 16, 2))
space = MLPSearchSpace(architecture=architecture, dropout=(0.0,))
plain = make_zoo(
    task, 200, search_space=space, epochs=5, n_checkpoints=1, progress=False, random_state=1
)
weights = pd.DataFrame(to_rows(plain))
label = plain.metadata["learning_rate"].gt(1e-2).map({True: "large", False: "small"})
print(weights.shape, label.value_counts().to_dict())

classifier = WeightSpaceClassifier(
    architecture=architecture, hidden_channels=8, max_epochs=20, lr=3e-3, random_state=0
)
classifier.fit(weights[:140], label[:140])
print(f"accuracy on 60 new networks: {classifier.score(weights[140:], label[140:]):.2f}")

plt.show()
