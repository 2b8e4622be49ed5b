"""One stage's steps: until its budget is spent, or the slice is."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .optimizer import Optimizer

_CHECK = 25  # steps from one look at the loss to the next; a look waits for the device
_SAVE, _TELL, _LOOK = 90.0, 60.0, 1500.0  # seconds from one to the next
_RESERVE = 15.0  # seconds of a slice that are left for saving and for samples
_COOLING = 0.25  # of the budget, its end: there the rate falls
_LAST_RATE = 0.02  # of the rate, at the end of the budget
_AVERAGE = 0.9995


class Slice:
    """The time that this run of the program may take. limit: seconds. effort: the clock of the
    budgets; on a processor that others use too it is this program's own time."""

    def __init__(
        self,
        limit: float,
        clock: Callable[[], float] = time.monotonic,
        effort: Callable[[], float] | None = None,
    ):
        self.clock, self.limit, self.began = clock, limit, clock()
        self.effort = effort or clock

    def passed(self) -> float:
        return self.clock() - self.began

    def left(self) -> float:
        return self.limit - self.passed()

    def stop(self) -> None:
        """End as if the time were over."""
        self.limit = 0.0


@dataclass(frozen=True)
class Plan:
    """How a stage is trained. seconds of training, or steps where that is not 0. rate: the highest
    learning rate. warm: steps in which a new optimiser's rate rises. averaged: whether a running
    mean of the weights is what comes out."""

    seconds: float
    rate: float
    steps: int = 0
    warm: int = 150
    averaged: bool = False

    def share(self, progress: "Progress") -> float:
        """How much of the budget is spent, 0..1."""
        if self.steps:
            return min(1.0, progress.step / self.steps)
        return min(1.0, progress.spent / self.seconds)

    def rate_now(self, progress: "Progress") -> float:
        """Constant, so that a budget may be raised while it is being spent; a cosine down over the
        last part of it; and a short way up after a new optimiser."""
        late = max(0.0, self.share(progress) - (1 - _COOLING)) / _COOLING
        down = 0.5 * (1 + math.cos(math.pi * late))
        warm = min(1.0, (progress.warm + 1) / self.warm)
        return self.rate * warm * (_LAST_RATE + (1 - _LAST_RATE) * down)


@dataclass
class Progress:
    """How far a stage is: all that the next slice needs besides the nets."""

    key: str
    step: int = 0
    warm: int = 0
    """Steps with this optimiser."""
    spent: float = 0.0
    """Seconds of the budget."""
    optimizer: dict[str, Any] | None = None
    raw: list[Tensor] = field(default_factory=list)
    """The weights as trained, where the nets hold their running means."""
    average: list[Tensor] = field(default_factory=list)


class DivergedError(Exception):
    """The loss is no number any more."""


@dataclass(frozen=True)
class Watcher:
    """Who is told, while the weights in the nets are those to keep: save(progress), and look() now
    and then; and tell(line)."""

    save: Callable[[Progress], None]
    tell: Callable[[str], None]
    look: Callable[[], None] = lambda: None


def train(
    parameters: list[nn.Parameter],
    loss_of: Callable[[int], Tensor],
    plan: Plan,
    progress: Progress,
    time_slice: Slice,
    watcher: Watcher,
) -> bool:
    """Go on from `progress`; whether the budget is spent. At the end the parameters are the running
    mean, where the plan wants one, and `progress` has been saved.

    loss_of: the loss of a step. Raises DivergedError, with what was saved last still good.
    """
    optimizer = _optimizer(parameters, progress)
    if progress.raw:
        _copy(progress.raw, parameters)
    if plan.averaged and not progress.average:
        progress.average = [parameter.detach().clone() for parameter in parameters]
    reports = Reports(time_slice, progress)
    while plan.share(progress) < 1 and time_slice.left() > _RESERVE:
        began = time_slice.effort()
        loss = loss_of(progress.step)
        loss.backward()
        reports.count(loss)
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step(plan.rate_now(progress))
        progress.step, progress.warm = progress.step + 1, progress.warm + 1
        _average(parameters, progress)
        if progress.step % _CHECK == 0 or reports.save.over():
            _checked(loss, norm, progress)
            progress.spent += time_slice.effort() - began
            reports.tell(watcher)
            if reports.save.due():
                _store(parameters, optimizer, progress, watcher)
                if reports.look.due():
                    with _shown(parameters, progress):
                        watcher.look()
        else:
            progress.spent += time_slice.effort() - began
    finished = plan.share(progress) >= 1
    _checked(_sum(parameters), None, progress)
    _store(parameters, optimizer, progress, watcher)
    if progress.average:
        _copy(progress.average, parameters)
    return finished


class Timer:
    """Something that is due every so many seconds."""

    def __init__(self, clock: Callable[[], float], seconds: float):
        self.clock, self.seconds, self.last = clock, seconds, clock()

    def over(self) -> bool:
        return self.clock() - self.last > self.seconds

    def due(self) -> bool:
        """Whether it is over; then the caller does it, and the time begins anew."""
        if not self.over():
            return False
        self.last = self.clock()
        return True


class Reports:
    """When to tell, to save and to look; and the mean of the losses since it was told last."""

    def __init__(self, time_slice: Slice, progress: Progress):
        self.progress = progress
        self.timer, self.save = (Timer(time_slice.clock, seconds) for seconds in (_TELL, _SAVE))
        self.look = Timer(time_slice.effort, _LOOK)
        self._begin(time_slice.clock())

    def _begin(self, now: float) -> None:
        self.since, self.step, self.total = now, self.progress.step, torch.zeros(())

    def count(self, loss: Tensor) -> None:
        self.total = self.total + loss.detach()

    def tell(self, watcher: Watcher) -> None:
        if self.timer.due():
            progress, now = self.progress, self.timer.last
            steps = progress.step - self.step
            watcher.tell(
                f"{progress.key} step {progress.step}: loss {float(self.total) / steps:.4f}, "
                f"{1000 * (now - self.since) / steps:.0f} ms a step"
            )
            self._begin(now)


def _average(parameters: list[nn.Parameter], progress: Progress) -> None:
    if progress.average:
        # Short at first, so that the mean soon forgets where it began.
        keep = min(_AVERAGE, (1 + progress.step) / (10 + progress.step))
        weights = [parameter.data for parameter in parameters]
        torch._foreach_lerp_(progress.average, weights, 1 - keep)


def _sum(parameters: list[nn.Parameter]) -> Tensor:
    """Finite where all parameters are."""
    return torch.stack([parameter.detach().float().sum() for parameter in parameters]).sum()


def _checked(loss: Tensor, norm: Tensor | None, progress: Progress) -> float:
    """Waits for the device, so that the clock is honest."""
    value = float(loss.detach())
    if not math.isfinite(value) or (norm is not None and not math.isfinite(float(norm))):
        raise DivergedError(
            f"{progress.key}: no number any more at step {progress.step}. What was saved last is "
            "good: run again, with a lower --rate if it comes back."
        )
    return value


def _optimizer(parameters: list[nn.Parameter], progress: Progress) -> Optimizer:
    optimizer = Optimizer(parameters)
    if progress.optimizer is None:
        progress.warm = 0
    else:
        optimizer.load_state_dict(progress.optimizer)
    return optimizer


def _copy(values: list[Tensor], parameters: list[nn.Parameter]) -> None:
    torch._foreach_copy_([parameter.data for parameter in parameters], values)


def _store(
    parameters: list[nn.Parameter],
    optimizer: Optimizer,
    progress: Progress,
    watcher: Watcher,
) -> None:
    progress.optimizer = optimizer.state_dict()
    progress.raw = [parameter.detach().clone() for parameter in parameters]
    with _shown(parameters, progress):
        watcher.save(progress)


@contextmanager
def _shown(parameters: list[nn.Parameter], progress: Progress) -> Iterator[None]:
    """The running mean in the nets for a while."""
    if progress.average:
        _copy(progress.average, parameters)
    yield
    _copy(progress.raw, parameters)
