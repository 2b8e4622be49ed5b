"""What the node of several people is set to, and all that can be said of it before a model is loaded.

Apart from `compose`, so that ComfyUI starts without the engine and its families.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..lora.choose import OnMissing, PeopleChosen, choose_for_people
from ..prompt.emphasis import Weights
from ..prompt.reading import read_prompt
from ..regions.layout import Layout
from .follow import UNFOLLOWED, Follow
from .isolation import TOGETHER, Isolation
from .people import Method, TextSees
from .reference_pictures import reference_files


@dataclass(frozen=True, kw_only=True)
class Settings:
    method: Method = Method.FUSED
    weights: Weights = Weights.A1111
    base_strength: float = 0.2
    feather: float = 0.06
    layout: Layout = Layout.COLUMNS
    order: str = ""
    start: float = 0.0
    end: float = 1.0
    skip_missing: bool = False
    text_sees: TextSees = TextSees.OWN
    isolation: Isolation = TOGETHER
    follow: Follow = UNFOLLOWED
    place_words: bool = False
    """Whether the scene's text is completed with everybody's place (`ensemble/prompt/places.py`)."""


def check(text: str, negative: str, settings: Settings) -> PeopleChosen:
    """Everything that can be said before a model is loaded. The queue calls it on what is typed,
    and `compose` on what is linked. Raises ValueError (PromptError, UnresolvedNameError) with the
    way out."""
    reading = read_prompt(text, negative, settings.weights, settings.order)
    on_missing = OnMissing.SKIP if settings.skip_missing else OnMissing.ERROR
    chosen = choose_for_people(reading, on_missing)
    reference_files(chosen.prompt.people, settings.skip_missing)
    if not 0.0 <= settings.start < settings.end <= 1.0:
        raise ValueError(
            f"start {settings.start} and end {settings.end} must be fractions of sampling with "
            "0 <= start < end <= 1. 0 and 1 act throughout."
        )
    _check_window("isolate", settings.isolation)
    _check_window("follow", settings.follow)
    return chosen


def _check_window(name: str, chosen: Isolation | Follow) -> None:
    span = chosen.span
    if not 0.0 <= chosen.strength <= 1.0 or not 0.0 <= span.start < span.end <= 1.0:
        raise ValueError(
            f"{name} {chosen.strength} must be from 0 to 1, and {name}_start {span.start} and {name}_end "
            f"{span.end} fractions of sampling with 0 <= {name}_start < {name}_end <= 1."
        )
