"""Transformers whose tokens are places of the picture: what method = fused has to know of them, however
their texts enter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from comfy.model_base import BaseModel
from torch import nn

from ...core import is_linear
from ...regions.weights import reduce_to
from .family import Family, Stream

BASE = -1
"""Stands for the scene's own text, where a person's index (0 is the first) would stand."""
REFERENCES, METHOD, MASK = "ref_latents", "ref_latents_method", "attention_mask"
"""Keys of core's `model_conds`."""
Replacement = tuple[nn.Module, str, Callable]
"""module, name of a method, what stands in for it while the model runs."""


class Rule(NamedTuple):
    """Layers whose whole name matches `pattern` (a regular expression) are on `stream`.

    reach: for VECTOR, the tokens that the vector modulates; None where it reaches all of the model
    alike, so that a place in the picture cannot be given.
    """

    pattern: str
    stream: Stream
    reach: Stream | None = None


class Signature(NamedTuple):
    """A method that an entry relies on, of the model class or of one of its modules
    (`blocks.0.forward`), and the names of its parameters. Where they differ, ComfyUI is newer than
    the entry."""

    method: str
    parameters: str


class Refusal(NamedTuple):
    """A part of the model's conditioning (a key of `model_conds`) that people cannot share, and
    what a message calls it."""

    key: str
    what: str


@dataclass(frozen=True)
class Grid:
    """The picture's tokens: rows times columns, then `pads` that stand for no place."""

    rows: int
    columns: int
    pads: int = 0

    @property
    def tokens(self) -> int:
        return self.rows * self.columns + self.pads

    def of(self, planes: torch.Tensor) -> torch.Tensor:
        """`[N,H,W]` -> `[N,tokens]`: area means; a pad has the mean of the picture."""
        places = reduce_to(planes, self.rows, self.columns).flatten(1)
        pads = places.mean(1, keepdim=True).expand(-1, self.pads)
        return torch.cat([places, pads], 1)


class TextSpan(NamedTuple):
    """One text of the sequence.

    person: its index, or BASE. raw: tokens as the encoder gave them. tokens: as the blocks see
    them, with the model's own padding. reference: tokens of the person's picture, which stand
    behind the painted one.
    """

    person: int
    raw: int
    tokens: int
    reference: int = 0


@dataclass
class Texts:
    """The texts of a sequence, in its order.

    running: index of the text that runs alone just now, where they are embedded one by one.
    """

    spans: tuple[TextSpan, ...]
    running: int | None = None

    @property
    def lengths(self) -> list[int]:
        return [span.tokens for span in self.spans]

    @property
    def attending(self) -> list[int]:
        """Of those that a block on texts runs on just now."""
        return self.lengths if self.running is None else [self.lengths[self.running]]

    @property
    def raw_lengths(self) -> list[int]:
        return [span.raw for span in self.spans]

    @property
    def references(self) -> list[int]:
        """Tokens of those people's pictures that have one, in the sequence's order."""
        return [span.reference for span in self.spans if span.reference]

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def restarted(self, like: torch.Tensor) -> torch.Tensor:
        """`[S]`: 0, 1, 2, … for each text anew."""
        counts = [torch.arange(length, device=like.device) for length in self.lengths]
        return torch.cat(counts).to(like.dtype)


@dataclass(frozen=True, kw_only=True)
class TransformerFamily(Family):
    """base_classes: core's model classes, by the exact class, since a subclass may lay out its
    tokens otherwise. rules: every linear layer is on exactly one. signatures, refused: see there.
    reads_language: all that are known do. packed_channels: core's `in_channels` are those of a token, so that they do not tell an
    inpainting model.
    """

    base_classes: tuple[type[BaseModel], ...]
    rules: tuple[Rule, ...]
    signatures: tuple[Signature, ...] = ()
    refused: tuple[Refusal, ...] = (Refusal(REFERENCES, "reference pictures"),)
    packed_channels: bool = False
    reads_language: bool = True

    def recognises(self, model: BaseModel) -> bool:
        return type(model) in self.base_classes

    def takes_masked_picture(self, model: BaseModel) -> bool:
        return not self.packed_channels and super().takes_masked_picture(model)

    def why_not_fused(self, model: BaseModel) -> str | None:
        moved = self.unknown(model.diffusion_model)
        return f"This ComfyUI is newer than Ensemble knows here ({moved})" if moved else None

    def rules_of(self, layer: str) -> list[Rule]:
        """All that name this layer; of a known layer one."""
        return [rule for rule in self.rules if re.fullmatch(rule.pattern, layer)]

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        """The tokens of a latent of this size."""
        raise NotImplementedError

    def text_tokens(self, unet: nn.Module, raw: int) -> int:
        """How many tokens of the sequence a text of `raw` tokens takes."""
        return raw

    def place_of(self, argument: str) -> int:
        """Where the model's forward takes it, counted without self."""
        forward = next(s for s in self.signatures if s.method == "forward")
        return forward.parameters.split().index(argument) - 1

    def replacements(self, unet: nn.Module, texts: Texts) -> Iterable[Replacement]:
        """Methods of the model that stand in the way of several people, done another way."""
        return ()

    def unknown(self, unet: nn.Module) -> str | None:
        """What of this model class is not as the entry knows it; None where all is."""
        for signature in self.signatures:
            path, _, name = signature.method.rpartition(".")
            owner = type(dict(unet.named_modules()).get(path, unet))
            method = getattr(owner, name, None)
            found = None if method is None else " ".join(inspect.signature(method).parameters)
            if found != signature.parameters:
                return f"{owner.__name__}.{name}"
        for name, module in unet.named_modules():
            if is_linear(module) and len(self.rules_of(name)) != 1:
                return f"the layer {name}"
        return None
