"""A learned optimizer for modules of torch: :class:`LearnedOptimizer`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from skmeta._checks import check_in_range, shown
from skmeta.optimizing.attached import AttachedModule
from skmeta.optimizing.course import Course
from skmeta.optimizing.optimizer import Optimizer

_OWNER = "LearnedOptimizer"
_KEYS = {"params", "param_names", "lr", "initial_lr"}


class LearnedOptimizer(torch.optim.Optimizer):
    """Trains a module with what :class:`~skmeta.GradientMetaOptimizer` has learned.

    The module always has the averaged weights, for whoever looks at it: to predict, to save it, to
    copy it. When it is called for training, in training mode and with gradients, it has the last
    weights until the next step. There is nothing to switch.

    Parameters
    ----------
    params : Module, or iterable of Parameter or dict
        What is trained. All but a module need :meth:`attach` before the first step: it is to be
        known when the module is called.
    settings : Optimizer
        What was learned.
    lr : float, default=1.0
        Multiplies the learning rate that was learned; for schedulers, one for all parameters.
    n_steps : int, optional
        Length of the training, over which the learning rate falls; by default as learned.

    Notes
    -----
    "kfac" and "muon" are for the weights of ``nn.Linear`` layers; AdamW takes the steps of all
    others, of which a warning tells. With "kfac" layers are watched in the forward and backward
    pass; moments add up over the batches of an accumulated gradient, and the scale of gradients
    (clipping, a ``GradScaler``) has no influence on them.

    Weights that somebody sets between two steps are where training goes on from. Of a module
    with batch normalisation the last 16 batches are kept, to measure running statistics of the
    averaged weights when the module is first called or saved behind a step: do that before you copy
    or pickle it.

    Between the forward pass of a training step and its ``backward()`` the module must not be called
    in evaluation mode. ``OneCycleLR`` needs ``cycle_momentum=False``.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skmeta.optimizing import LearnedOptimizer, Optimizer, Training
    >>> generator = torch.Generator().manual_seed(0)
    >>> X = torch.randn(200, 3, generator=generator)
    >>> y = (X[:, 0] * X[:, 1] > 0).long()
    >>> network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))
    >>> optimizer = LearnedOptimizer(network, Optimizer.start("kfac", Training(100, 200)))
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     loss = nn.functional.cross_entropy(network(X), y)
    ...     loss.backward()
    ...     optimizer.step()
    >>> with torch.no_grad():
    ...     accuracy = (network(X).argmax(1) == y).float().mean()
    >>> bool(accuracy > 0.9)
    True
    """

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        settings: Optimizer,
        *,
        lr: float = 1.0,
        n_steps: int | None = None,
    ) -> None:
        check_in_range("lr", lr, owner=_OWNER, low=0)
        if n_steps is not None:
            check_in_range("n_steps", n_steps, owner=_OWNER, low=1, kind="int")
        self.settings, self.n_steps = settings, n_steps
        self._attached: AttachedModule | None = None
        self._waiting: dict[str, Any] | None = None  # what was loaded, until there is a module
        module = _bare(params) if isinstance(params, nn.Module) else None
        own: Any = params
        if module is not None:
            own = [p for p in module.parameters() if p.requires_grad]
            if not own:
                raise ValueError(f"{_OWNER} got a module without parameters that are trained.")
        super().__init__(own, {"lr": float(lr)})
        if module is not None:
            self.attach(module)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; before :meth:`attach` only.

        Parameters
        ----------
        param_group : dict
            With ``params`` and ``lr``.
        """
        if unknown := param_group.keys() - _KEYS:
            raise ValueError(
                f"The parameter groups of {_OWNER} may have an 'lr', which must be the same for "
                f"all. Got {sorted(unknown)}: what else there is was learned."
            )
        if self._attached is not None:
            raise ValueError(
                f"{_OWNER} is attached to a module, whose parameters it knows. To train others, "
                "too, make a new one."
            )
        super().add_param_group(param_group)

    def attach(self, module: nn.Module) -> LearnedOptimizer:
        """Watch the calls of a module.

        Parameters
        ----------
        module : Module
            Which has all parameters that are trained; one that was compiled is known by what it was
            made of. Another optimizer that is attached to it leaves it.

        Returns
        -------
        LearnedOptimizer
            Itself.
        """
        module, attached = _bare(module), self._attached
        if attached is not None and attached.module is module and attached.watches:
            return self
        names = {id(p): name for name, p in module.named_parameters()}
        own = {id(p): p for group in self.param_groups for p in group["params"]}
        if strangers := [p for number, p in own.items() if number not in names]:
            raise ValueError(
                f"{_OWNER} must be attached to a module that has all its parameters. Got one "
                f"without {len(strangers)} of {len(own)}, the first of shape "
                f"{tuple(strangers[0].shape)}."
            )
        if len({p.device for p in own.values()}) > 1:
            raise ValueError(f"{_OWNER} needs all parameters on one device. Got several.")
        self.detach()
        named = {name: own[number] for number, name in names.items() if number in own}
        self._attached = AttachedModule(module, named)
        self._attached.moments.active = self._watches
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._resume(self._attached, waiting)
        return self

    def detach(self) -> None:
        """Leave the module alone; it keeps the averaged weights.

        What is remembered of its training is kept for the next :meth:`attach`.
        """
        if self._attached is not None:
            self._waiting = self._described()
            self._attached.leave()
            self._attached = None

    # -- steps -------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients, once.

        Returns
        -------
        object
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        attached = self._attached
        if attached is None or not attached.watches:
            raise RuntimeError(
                f"{_OWNER} must know the module: call optimizer.attach(module) before training, or "
                "give skorch the callback AttachModule()."
            )
        multiplier, names = self._multiplier(), attached.moments.names
        if attached.course is None:
            layers = [name for name in attached.linear if name in names or not self._watches]
            attached.course = self._start(attached, layers)
            self._tell_of_others(attached, layers)
        course = attached.course
        self._check_step(attached, course)
        attached.adopt()
        schedule = self._recipe.schedule(self._length)
        rate = multiplier * self._recipe.numbers["lr"] * schedule.factor(course.n_steps)
        seen = attached.moments.take(attached.flat.dtype)
        moments = [seen.get(name) for name in course.layers] if seen else []
        before = course.last.clone()
        gradient, missing = attached.flat.gradient(before)
        last, course.rule = self._rule.update(course.rule, course.last, gradient, rate, moments)
        course.last = last if missing is None else torch.where(missing, before, last)
        course.average.lerp_(course.last, schedule.share(course.n_steps))
        course.n_steps += 1
        attached.stepped(averaged=self.settings.numbers["window"] * self._length > 1)
        attached.moments.active = self._rule.needs_moments(course.rule)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget gradients, and the moments that came with them.

        Parameters
        ----------
        set_to_none : bool, default=True
            As in torch.
        """
        if self._attached is not None:
            self._attached.moments.forget()
        super().zero_grad(set_to_none)

    @property
    def _length(self) -> int:
        return self.settings.training.n_steps if self.n_steps is None else self.n_steps

    @property
    def _watches(self) -> bool:
        residual = self.settings.residual
        features = residual is not None and residual.gradient_features
        return features or self.settings.rule == "kfac"

    def _multiplier(self) -> float:
        rates = {float(group["lr"]) for group in self.param_groups}
        if len(rates) > 1:
            raise ValueError(
                f"The 'lr' of {_OWNER} must be the same for all parameter groups, because it "
                f"multiplies what was learned for all of them. Got {sorted(rates)}."
            )
        return rates.pop()

    def _start(self, attached: AttachedModule, layers: list[str]) -> Course:
        """Begin at the parameters as they are."""
        start = attached.begin()
        self._recipe = self.settings.recipe.to(start.device, start.dtype)
        self._rule = self._recipe.rule
        decay = self._recipe.numbers["weight_decay"][:, None]
        state = self._rule.init(start, decay, attached.matrices(layers))
        return Course(layers, 0, start, start.clone(), state)

    def _tell_of_others(self, attached: AttachedModule, layers: list[str]) -> None:
        pairs = zip(attached.flat.names, attached.flat.parameters, strict=True)
        others = [name for name, p in pairs if p.ndim > 1 and name not in layers]
        if others and self.settings.rule in ("kfac", "muon"):
            warnings.warn(
                f"{_OWNER} takes steps of {self.settings.rule!r} for {len(layers)} linear layers, "
                f"and of AdamW for {shown(others)}, which are not used as nn.Linear.",
                stacklevel=4,
            )

    def _check_step(self, attached: AttachedModule, course: Course) -> None:
        if not attached.was_trained and not torch.equal(course.last, course.average):
            raise RuntimeError(
                f"{_OWNER} got gradients at averaged weights: since the last step, the module that "
                "it is attached to was not called in training mode. Call module.train() before the "
                "forward pass, and the module itself, not a part of it. To keep statistics of "
                "batch normalisation as they are, put those layers alone into evaluation mode."
            )
        if course.n_steps == self._length:
            warnings.warn(
                f"{_OWNER} takes more steps than the {self._length} that it was made for, and its "
                "learning rate stays where it is. Give it the length of the training as n_steps=.",
                stacklevel=4,
            )

    # -- states ------------------------------------------------------------------------------

    def _described(self) -> dict[str, Any] | None:
        """What is remembered, as plain values and tensors."""
        if self._attached is None or self._attached.course is None:
            return self._waiting
        self._attached.adopt()
        parameters = list(self._attached.flat.names)
        mine = {"method": self.settings.rule, "parameters": parameters, "length": self._length}
        return mine | self._attached.course.described()

    def _resume(self, attached: AttachedModule, described: dict[str, Any]) -> None:
        """Go on from what :meth:`_described` returned."""
        mine = {"method": self.settings.rule, "parameters": list(attached.flat.names)}
        for name, value in mine.items():
            if described[name] != value:
                raise ValueError(
                    f"The state is one of another {_OWNER}: its {name} is {shown(described[name])}"
                    f", here it is {shown(value)}."
                )
        attached.show_average()
        start = self._start(attached, list(described["layers"]))
        attached.resume(start.resumed(described, _OWNER))
        self.n_steps = described["length"]
        assert attached.course is not None
        attached.moments.active = self._rule.needs_moments(attached.course.rule)

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered; see ``torch.optim.Optimizer.state_dict``.

        Returns
        -------
        dict
            Of plain values and tensors, which the next step changes.
        """
        return super().state_dict() | {"learned": self._described()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, to the same bits.

        The averaged weights of the state become those of the module.

        Parameters
        ----------
        state_dict : dict
            From :meth:`state_dict`.
        """
        if "learned" not in state_dict:
            raise ValueError(f"The state is not one of a {_OWNER}.")
        learned = state_dict["learned"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "learned"})
        if self._attached is None or not self._attached.watches:
            self._waiting = learned
        elif learned is None:
            self._attached.course = None
        else:
            self._resume(self._attached, learned)

    def __getstate__(self) -> dict[str, Any]:
        own = {"settings": self.settings, "n_steps": self.n_steps, "learned": self._described()}
        return super().__getstate__() | own

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "settings" in state:  # of a pickle; load_state_dict comes with groups alone
            self._attached, self._waiting = None, state["learned"]
            state = {name: value for name, value in state.items() if name != "learned"}
        super().__setstate__(state)


def _bare(module: nn.Module) -> nn.Module:
    """Return what was compiled; refuse modules that are several."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise ValueError(
            f"{_OWNER} works on one module. Got a {type(module).__name__}, whose copies take the "
            "batches: attach to module.module, and train it on one device."
        )
    return getattr(module, "_orig_mod", module)


@dataclass(frozen=True)
class OptimizerFactory:
    """Makes optimizers for modules: what ``torch`` and skorch take a class of optimizers for.

    Parameters
    ----------
    settings : Optimizer
        What was learned.

    Examples
    --------
    >>> from torch import nn
    >>> from skmeta.optimizing import Optimizer, OptimizerFactory, Training
    >>> factory = OptimizerFactory(Optimizer.start("adam", Training(100, 32)))
    >>> optimizer = factory(nn.Linear(3, 2), n_steps=500)
    >>> optimizer.param_groups[0]["lr"]
    1.0
    """

    settings: Optimizer

    def __call__(
        self, params: nn.Module | Iterable[Any], *, lr: float = 1.0, n_steps: int | None = None
    ) -> LearnedOptimizer:
        """Make an optimizer.

        Parameters
        ----------
        params : Module, or iterable of Parameter or dict
            What is trained.
        lr : float, default=1.0
            Multiplies the learning rate that was learned.
        n_steps : int, optional
            Length of the training; by default as learned.

        Returns
        -------
        LearnedOptimizer
        """
        return LearnedOptimizer(params, self.settings, lr=lr, n_steps=n_steps)
