"""The operations that networks are made of, one file each, and their table: :data:`OPS`."""

from skmeta.networks.ops.activate import Activate
from skmeta.networks.ops.base import AutogradOp, Mix, Op, Run, RunOp, TailOp
from skmeta.networks.ops.conv import Conv
from skmeta.networks.ops.dropout import Dropout
from skmeta.networks.ops.linear import Linear
from skmeta.networks.ops.norm import Norm
from skmeta.networks.ops.pool import Pool
from skmeta.networks.ops.skip import Skip

OPS: dict[str, type[Op]] = {
    op.__name__: op for op in (Linear, Conv, Norm, Skip, Activate, Dropout, Pool)
}
"""What a description of an architecture may name."""

__all__ = [
    "OPS",
    "Activate",
    "AutogradOp",
    "Conv",
    "Dropout",
    "Linear",
    "Mix",
    "Norm",
    "Op",
    "Pool",
    "Run",
    "RunOp",
    "Skip",
    "TailOp",
]
