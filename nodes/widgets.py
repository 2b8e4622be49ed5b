"""Widgets as the nodes' schemas list them, and what a schema says of text that cannot be read."""

from collections.abc import Callable, Iterable
from enum import Enum

from comfy_api.latest import io

MAX_SEED = 0xFFFFFFFFFFFFFFFF


def choice(
    name: str, values: Iterable[str | Enum], tooltip: str, *, default: str | None = None
) -> io.Combo.Input:
    """One of some values, the first of them by default."""
    options = [value.value if isinstance(value, Enum) else value for value in values]
    return io.Combo.Input(name, options=options, default=default or options[0], tooltip=tooltip)


def whole(
    name: str, default: int, bounds: tuple[int, int], tooltip: str, *, step: int | None = None
) -> io.Int.Input:
    low, high = bounds
    return io.Int.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip)


def decimal(
    name: str, default: float, bounds: tuple[float, float], tooltip: str, *, step: float = 0.01
) -> io.Float.Input:
    low, high = bounds
    return io.Float.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip)


def share(name: str, default: float, tooltip: str, *, step: float = 0.01) -> io.Float.Input:
    return decimal(name, default, (0.0, 1.0), tooltip, step=step)


def switch(name: str, default: bool, tooltip: str) -> io.Boolean.Input:
    return io.Boolean.Input(name, default=default, tooltip=tooltip)


def seed(tooltip: str) -> io.Int.Input:
    """One that the editor counts up after a run."""
    widget = whole("seed", 0, (0, MAX_SEED), tooltip)
    widget.control_after_generate = True
    return widget


def advanced(*inputs: io.WidgetInput) -> tuple[io.WidgetInput, ...]:
    """Inputs that the editor shows only when it is asked to."""
    for each in inputs:
        each.advanced = True
    return inputs


def optional(*inputs: io.Input) -> tuple[io.Input, ...]:
    """Inputs that may stay unlinked."""
    for each in inputs:
        each.optional = True
    return inputs


def problem(read: Callable[..., object], *texts: str | None) -> bool | str:
    """For validate_inputs: True, or why `read` cannot take the texts. A linked text is None there;
    it is read when the node runs."""
    try:
        read(*(text or "" for text in texts))
    except ValueError as error:
        return str(error)
    return True
