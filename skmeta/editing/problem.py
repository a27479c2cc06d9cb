"""Networks to be edited, and what an edit of them is judged by: :class:`EditProblem`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skmeta.datasets import Cells
from skmeta.metanets import WeightGraph
from skmeta.population import Stack
from skmeta.requirements import Objective


@dataclass(frozen=True, eq=False)
class EditProblem:
    """Networks of one depth that are to be edited.

    A free edit starts at the original networks. Behind a mask an edit starts at what is left
    of them, and what is masked stays zero.

    Attributes
    ----------
    original : Stack
        What edits are compared with.
    graph : WeightGraph
        What a metanetwork sees; ``graph.stack`` are the networks that the edit starts at, and
        ``graph.free`` says which of their weights may change.
    target : Tensor of shape (n, n_reference, n_classes)
        What outputs on the reference rows should be close to: those of the original networks, or
        a teacher's.
    divergence : Tensor of shape (n,)
        How far the start is from the target, in nats; 0 for a free edit without a teacher.
    X : Tensor of shape (n_reference, n_inputs)
        The reference rows.
    cells : Cells
        Their cells.
    objective : Objective
        What an edit minimises.
    """

    original: Stack
    graph: WeightGraph
    target: Tensor
    divergence: Tensor
    X: Tensor
    cells: Cells
    objective: Objective

    def __len__(self) -> int:
        return len(self.original)

    @property
    def start(self) -> Stack:
        """The networks that the edit starts at."""
        return self.graph.stack

    def select(self, rows: Tensor) -> EditProblem:
        """Return the problem of some networks, in that order."""
        return replace(
            self,
            original=self.original.select(rows),
            graph=self.graph.select(rows),
            target=self.target[rows],
            divergence=self.divergence[rows],
        )

    @staticmethod
    def merge(parts: Sequence[EditProblem]) -> EditProblem:
        """Join problems of consecutive networks, of one objective on the same rows."""
        return replace(
            parts[0],
            original=Stack.merge([part.original for part in parts]),
            graph=WeightGraph.merge([part.graph for part in parts]),
            target=torch.cat([part.target for part in parts]),
            divergence=torch.cat([part.divergence for part in parts]),
        )
