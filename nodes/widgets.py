"""Widgets that several nodes have: a choice among an enum's values, a share of 1, a seed."""

from enum import Enum

from comfy_api.latest import io


def choice(
    name: str, values: type[Enum], tooltip: str, *, advanced: bool | None = None
) -> io.Combo.Input:
    """The enum's values, the first of them by default."""
    options = [value.value for value in values]
    return io.Combo.Input(
        name, options=options, default=options[0], tooltip=tooltip, advanced=advanced
    )


def share(
    name: str, default: float, tooltip: str, *, step: float = 0.01, advanced: bool | None = None
) -> io.Float.Input:
    """A number from 0 to 1."""
    return io.Float.Input(
        name, default=default, min=0.0, max=1.0, step=step, tooltip=tooltip, advanced=advanced
    )


def seed(tooltip: str, *, advanced: bool | None = None) -> io.Int.Input:
    """The editor counts it up after a run, but not where it is advanced."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=None if advanced else True,
        tooltip=tooltip,
        advanced=advanced,
    )
