"""Inputs that every node which paints has in common."""

from collections.abc import Callable
from typing import TypeVar

from comfy.samplers import KSampler
from comfy_api.latest import io

from ..ensemble.regional.sampling import SamplingSettings as SamplingSettings
from . import widgets

T = TypeVar("T")


def without_people(prompt: str = "Prompt for model", negative: str = "Negative for model") -> list:
    """model, positive and negative, beside a socket for people."""
    lent = "Beside people only its ControlNets are taken."
    return [
        io.Model.Input("model", optional=True, tooltip="Model, where no people are linked."),
        io.Conditioning.Input("positive", optional=True, tooltip=f"{prompt}. {lent}"),
        io.Conditioning.Input("negative", optional=True, tooltip=f"{negative}. {lent}"),
    ]


NO_PAINTER = "Link people, or model, positive and negative."


def painter_of(
    people,
    model,
    positive,
    negative,
    *,
    from_people: Callable[..., T],
    from_model: Callable[..., T],
) -> T | None:
    """What paints for a node with these sockets: people before model; None where neither is linked
    whole."""
    if people is not None:
        return from_people(people, positive, negative)
    if model is None or positive is None or negative is None:
        return None
    return from_model(model, positive, negative)


def sampling(seed: str, sampler: str = "Sampler.") -> list:
    """The widgets of SamplingSettings but denoise; `seed` and `sampler` are those inputs' tooltips."""
    return [
        widgets.seed(seed),
        io.Int.Input(
            "steps", default=20, min=1, max=1000, tooltip="Sampling steps; as many at any denoise."
        ),
        io.Float.Input(
            "cfg",
            default=7.0,
            min=0.0,
            max=100.0,
            step=0.1,
            tooltip="Guidance: how closely the prompt is followed.",
        ),
        io.Combo.Input("sampler", options=KSampler.SAMPLERS, default="euler", tooltip=sampler),
        io.Combo.Input(
            "scheduler", options=KSampler.SCHEDULERS, default="karras", tooltip="Scheduler."
        ),
    ]
