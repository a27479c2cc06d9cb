"""What a fitted editor does: the base class :class:`FittedEditor`."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from skmeta._checks import check_device, check_in_range, check_unchanged, params_now
from skmeta._modes import in_own_modes
from skmeta.baselines.base import KeepsNetworks
from skmeta.datasets import Task
from skmeta.editing.card import model_card
from skmeta.editing.editor import Editor
from skmeta.editing.guard import check_guard
from skmeta.editing.saving import contents, restored
from skmeta.estimators.files import write_estimator
from skmeta.files.codec import encode
from skmeta.population import Population
from skmeta.population.checks import check_classifiers, check_population
from skmeta.population.running import check_no_images
from skmeta.requirements import FairTeacher, split_requirements

_PARAMS_OF_FIT = (
    *("requirement", "lam_range", "features", "teacher"),
    *("metanet", "hidden_channels", "n_layers"),
)
"""Parameters of an editor that say what the metanetwork has learned."""


class FittedEditor(KeepsNetworks):
    """Edits networks with the editor that ``fit`` keeps in ``editor_``, and reports on it."""

    requirement: Any
    lam: Any
    metanet: Any
    features: str
    hidden_channels: int
    n_layers: int
    device: str
    guard: dict | None
    refine_steps: int
    teacher: FairTeacher | None
    editor_: Editor

    metanet_ = property(attrgetter("editor_.metanet"))
    plan_ = property(attrgetter("editor_.plan"))
    requirement_ = property(attrgetter("editor_.requirement"))
    task_ = property(attrgetter("editor_.task"))
    n_networks_ = property(attrgetter("editor_.n_networks"))
    templates_ = property(attrgetter("editor_.templates"))
    cost_ = property(attrgetter("editor_.cost"))
    lam_range_ = property(attrgetter("editor_.lam_range"))
    reference_ = property(attrgetter("editor_.reference"))

    def _present(self, method: str) -> Editor:
        """Return the editor by the present lam, budgets, guard and steps.

        What would need another fit is refused.
        """
        check_is_fitted(self)
        owner = "ComplianceEditor"
        check_unchanged(self, method, _PARAMS_OF_FIT, obeyed=["budget"])
        check_in_range("refine_steps", self.refine_steps, owner=owner, low=0, kind="int")
        plan, guard = split_requirements(self.requirement, self.lam, owner), self.guard
        self.editor_ = self.editor_.following(plan, check_guard(guard, owner), self.refine_steps)
        return self.editor_

    def _ready(self, networks: Any) -> tuple[Editor, Population]:
        """Return the editor and checked networks as it takes them."""
        editor, owner = self._present("transform"), "ComplianceEditor"
        population = check_population(networks, owner)
        check_no_images(population.architectures, owner)
        check_classifiers(population, editor.reference.outline, owner)
        return editor, population.to(editor.device, torch.float32)

    @in_own_modes
    def transform(
        self, networks: Any, *, lam: float | None = None, task: Task | None = None
    ) -> Any:
        """Edit networks.

        Parameters
        ----------
        networks : Population or sequence of networks
            Classifiers of the task that the editor was fitted on.
        lam : float, optional
            Point on the front; the default is the parameter ``lam``. An editor that was
            fitted without ``lam_range`` knows only one.
        task : Task, optional
            Rows to look at in this call, with the labels and groups of ``fit``; the default
            are the rows of ``fit``. An editor from a file without rows needs it, unless
            ``features="weights"`` and there is neither a ``guard`` nor a ``refine_steps``.
            The task of ``fit`` gives the same edits as no task.

        Returns
        -------
        Population or list of networks
            Edited copies, of the kind that came in.
        """
        editor, population = self._ready(networks)
        edited = editor.edit(population, lam, task)[0].to("cpu")
        return edited if isinstance(networks, Population) else edited.to_networks()

    @in_own_modes
    def score(self, networks: Any, y: Any = None, *, task: Task | None = None) -> float:
        """Return minus the mean objective after an edit, with the exact measure.

        Parameters
        ----------
        networks : Population or sequence of networks
            Networks to edit.
        y : None
            Ignored.
        task : Task, optional
            Rows to measure on; default is the task of ``fit``. An editor from a file
            without rows edits on them, too.

        Returns
        -------
        float
            At most 0; compare editors of one ``lam`` and one ``teacher`` only, which is fitted
            to the labels and groups of the rows to measure on: a softer one is closer. A mask
            without a budget adds lam times the share that stays.
        """
        editor, population = self._ready(networks)
        return editor.score(population, task)

    @in_own_modes
    def report(
        self,
        networks: Any,
        *,
        task: Task | None = None,
        lam: float | None = None,
        n_bootstrap: int = 500,
    ) -> pd.DataFrame:
        """Edit networks and say what happened to each of them.

        Parameters
        ----------
        networks : Population or sequence of networks
            Networks to edit.
        task : Task, optional
            Rows to measure on; default is the task of ``fit``, on which results look
            better than on new rows. An editor from a file without rows edits on them, too.
        lam : float, optional
            See :meth:`transform`.
        n_bootstrap : int, default=500
            Resamples of the rows, within each (label, group) cell, for the intervals.

        Returns
        -------
        DataFrame
            One row per network: divergence (nats), the requirement's measure and the
            accuracy before and after, 95 % intervals (``_low``, ``_high``) that say how
            much is luck of the rows, and ``status``: "reduced" or "raised" if the interval
            of the measure's change excludes zero, "rolled back" if the guard refused the
            edit, else "unclear". With a mask also ``kept_share`` and ``n_kept``, and for
            inputs ``kept``, their names.
        """
        check_in_range("n_bootstrap", n_bootstrap, owner="report", low=1, kind="int")
        editor, population = self._ready(networks)
        return editor.report(population, task=task, lam=lam, n_bootstrap=n_bootstrap)

    @in_own_modes
    def card(self, networks: Any = None, *, task: Task | None = None) -> str:
        """Describe the editor, its data, its results and its limits, to go with its edits.

        Parameters
        ----------
        networks : Population or sequence of networks, optional
            Networks to measure edits on, best such that the editor was not trained on.
            Without them the card has no results.
        task : Task, optional
            Rows to measure on; default is the task of ``fit``, on which results look
            better than on new rows. An editor from a file without rows edits on them, too.

        Returns
        -------
        str
            Markdown. With a ``lam_range`` it has results at its ends, between them and at
            ``lam``. It contains the number of rows of each label and group.
        """
        metanet = self.metanet if isinstance(self.metanet, str) else self.metanet.__name__
        editor, population = self._present("card"), None
        if networks is not None:
            editor, population = self._ready(networks)
        title = type(self).__name__
        return model_card(editor, population, task, title=title, metanet=metanet)

    def save(self, path: str | Path, *, include_task: bool = False) -> None:
        """Write what was learned to a file for :func:`skmeta.load`.

        The file has the metanetwork, the parameters, the names of features, labels and
        groups, the number of rows of each label and group, and the numbers of the
        reference rows, but not the rows: the editor that is loaded takes them in
        ``transform(networks, task=task)``. With the task of ``fit`` its edits are the same
        to the bit; of another one it chooses rows itself.

        Parameters
        ----------
        path : str or Path
            An existing file is replaced; the file appears complete or not at all.
        include_task : bool, default=False
            Write the rows with labels and groups, too. **The file then holds personal
            data** if the task does: keep it like the table.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import skmeta
        >>> from skmeta.datasets import make_biased_classification, split_tasks
        >>> bunch = make_biased_classification(3000, random_state=0)
        >>> train, reference, test = split_tasks(bunch, "group")
        >>> zoo = skmeta.make_zoo(train, 6, epochs=3, progress=False, random_state=0)
        >>> editor = skmeta.ComplianceEditor(max_epochs=2, random_state=0)
        >>> editor = editor.fit(zoo, task=reference)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     editor.save(Path(folder) / "editor.safetensors")
        ...     loaded = skmeta.load(Path(folder) / "editor.safetensors")
        >>> loaded.transform(zoo[:2], task=reference)
        Population of 2 networks, 10 inputs, 2 outputs...
        """
        check_is_fitted(self)
        check_unchanged(self, "save", _PARAMS_OF_FIT, obeyed=["budget"])
        write_estimator(self, path, include_task=include_task)

    def _contents(self, *, include_task: bool) -> dict[str, Any]:
        owner, plan = "ComplianceEditor", self.editor_.plan
        now = split_requirements(self.requirement, self.lam, owner)
        if encode(now[:2], owner) != encode(plan[:2], owner):
            raise ValueError(
                f"A {owner} is saved with the requirement that it was fitted with. Got another "
                "'requirement' (or other ratios in 'lam') than in fit. Set them back, or fit again."
            )
        return contents(self.editor_, include_task=include_task)

    def _restore(self, fitted: dict[str, Any]) -> None:
        owner = "ComplianceEditor"
        self.net_ = None
        self.editor_ = restored(
            fitted,
            split_requirements(self.requirement, self.lam, owner),
            features=self.features,
            guard=check_guard(self.guard, owner),
            refine_steps=self.refine_steps,
            teacher=self.teacher,
            device=check_device(self.device, owner),
            metanet=self.metanet,
            hidden_channels=self.hidden_channels,
            n_layers=self.n_layers,
        )
        self._params_of_fit = params_now(self)
