"""What Ensemble has to know of one family of models, said by the family itself.

A new family is one file beside this one that fills in a Family, and its place in `__init__.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from comfy.model_base import BaseModel
from torch import nn

from .references import References


class Stream(Enum):
    """What passes through a layer, which decides where a person's adapters act in it."""

    IMAGE = "image"
    """Places of the picture: the person's region."""
    TEXT = "text"
    """Words: each person's own text, never a region."""
    JOINT = "joint"
    """Words and picture in one sequence, words first."""
    VECTOR = "vector"
    """One vector for the whole picture (time, label, modulation): the mean of the region, or each
    token's own where the vector modulates tokens."""
    TEXT_ROWS = "text rows"
    """Words, on another axis than the second (Krea 2 joins layers of its encoder word by word)."""


@dataclass(frozen=True)
class Family:
    """A family that runs people by batch rows (method = exact); subclasses add what more it can.

    repeats_texts: whether a text may be repeated to a longer one's length, because attention does
    not see the repetition. picture_side: pixels of the square pictures that it was trained on, the size
    at which a face's crop is redrawn.
    clip_channels: channels of the CLIP encoders whose outputs it reads side by side, in their
    order, by core's short names; empty where it reads texts in another way. unreached: pattern at
    the start of layers' names that run before sampling, where nobody's own adapters can be.
    reads_language: whether a text encoder of it is a language model (Qwen, T5, Gemma), which knows
    left from right; CLIP does not.
    references: how it takes a person's picture as latents; None where it does not.
    """

    name: str
    repeats_texts: bool = False
    picture_side: int = 1024
    clip_channels: Mapping[str, int] = field(default_factory=dict)
    unreached: str = "$^"
    reads_language: bool = False
    references: References | None = None

    def recognises(self, model: BaseModel) -> bool:
        """Whether this entry describes the model. Asked in the order of the registry."""
        raise NotImplementedError

    def why_not_fused(self, model: BaseModel) -> str | None:
        """Why method = fused cannot run with this model, as the start of a sentence; None where it
        can."""
        return f"{type(model).__name__} is not a model that method = fused knows"

    def takes_masked_picture(self, model: BaseModel) -> bool:
        """Whether it is an inpainting model: one that sees the rest of the picture beside the
        noise, as channels beyond those of its latent format."""
        if getattr(model, "concat_keys", ()):
            return True
        channels = model.model_config.unet_config.get("in_channels")
        return channels is not None and channels > model.latent_format.latent_channels


@dataclass(frozen=True)
class CrossAttention:
    """The cross-attention of one transformer block.

    key: its block in core's `patches_replace`. name: the module's, inside the diffusion model; its
    `to_k` and `to_v` make keys and values of the text.
    """

    key: tuple[str, int, int]
    name: str
    module: nn.Module


class CrossAttentionFamily(Family):
    """A family whose texts enter by cross-attention apart from self-attention, so that method =
    fused can give every place of the picture its own text there."""

    def why_not_fused(self, model: BaseModel) -> str | None:
        return None

    def cross_attentions(self, unet: nn.Module) -> Iterator[CrossAttention]:
        raise NotImplementedError

    def stream(self, layer: str) -> Stream:
        """Of a layer, by its name inside the diffusion model."""
        raise NotImplementedError

    def token_grids(self, height: int, width: int) -> dict[int, tuple[int, int]]:
        """Token count -> (rows, columns) at every level of the model, for a latent of this size."""
        raise NotImplementedError
