"""Which tokens a layer of a DiT works on, by the layer's name and never by a tensor's shape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Stream(Enum):
    """The tokens that pass a linear layer."""

    IMAGE = "image"
    """The picture's tokens, row by row, and its pads."""
    TEXT = "text"
    """The texts' tokens, one text after the other."""
    JOINT = "joint"
    """Texts, then picture."""
    VECTOR = "vector"
    """One vector for all tokens: time, guidance, modulation."""
    TEXT_ROWS = "text rows"
    """The texts' tokens on another axis than the second (Krea 2 fuses layers of its encoder token
    by token)."""


@dataclass(frozen=True)
class Rule:
    """Layers whose whole name matches `pattern` (a regular expression) are on `stream`.

    reach: for VECTOR, the tokens that the vector modulates; None where it reaches all of the model
    alike, so that a place in the picture cannot be given.
    """

    pattern: str
    stream: Stream
    reach: Stream | None = None


@dataclass(frozen=True)
class StreamTable:
    """All linear layers of a model class."""

    rules: tuple[Rule, ...]

    def matches(self, layer: str) -> list[Rule]:
        return [rule for rule in self.rules if re.fullmatch(rule.pattern, layer)]

    def rule(self, layer: str) -> Rule:
        """The one rule of a layer. UnknownLayerError where none is written for it."""
        found = self.matches(layer)
        if len(found) != 1:
            raise UnknownLayerError(layer)
        return found[0]


class UnknownLayerError(LookupError):
    """A layer that no rule of the family names: ComfyUI's model class has changed."""

    def __init__(self, layer: str):
        super().__init__(f"{layer} is a layer that Ensemble does not know")
