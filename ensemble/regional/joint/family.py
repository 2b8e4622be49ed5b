"""What the joint attention engine has to know of one model class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from .attention import Stage
from .streams import StreamTable
from .tokens import Grid, TokenMap

Replacement = tuple[nn.Module, str, Callable]
"""module, name of a method, what stands in for it while the model runs."""


REFERENCES, MASK = "ref_latents", "attention_mask"
"""Keys of core's `model_conds`."""


class Signature(NamedTuple):
    """A method of the model class that an entry relies on, and the names of its parameters. Where
    they differ, ComfyUI is newer than the entry."""

    method: str
    parameters: str


class Refusal(NamedTuple):
    """A part of the model's conditioning (a key of `model_conds`) that people cannot share, and
    what a message calls it."""

    key: str
    what: str


class JointFamily:
    """A model class whose texts and picture share one attention, the texts first in the sequence.

    Subclasses give `streams`, `signatures`, `stages` and `grid`, and what they need of the rest.
    """

    streams: StreamTable
    signatures: tuple[Signature, ...] = ()

    refused: tuple[Refusal, ...] = (Refusal(REFERENCES, "reference pictures"),)

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        """Every block whose attention is over all texts, or over texts and picture."""
        raise NotImplementedError

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        """The tokens of a latent of this size."""
        raise NotImplementedError

    def text_tokens(self, unet: nn.Module, raw: int) -> int:
        """How many tokens of the sequence a text of `raw` tokens takes."""
        return raw

    def replacements(self, unet: nn.Module, tokens: TokenMap) -> Iterable[Replacement]:
        """Methods that would mix up the texts, done text by text."""
        return ()

    def text_positions(self, unet: nn.Module, ids: torch.Tensor, tokens: TokenMap):
        """The texts' position ids `[B,S,axes]` so that each text stands where it stands alone."""
        return ids

    def known(self, unet: nn.Module) -> str | None:
        """What of this model class is not as the entry knows it; None where all is."""
        for signature in self.signatures:
            method = getattr(type(unet), signature.method, None)
            found = None if method is None else " ".join(inspect.signature(method).parameters)
            if found != signature.parameters:
                return f"{type(unet).__name__}.{signature.method}"
        for name, module in unet.named_modules():
            if isinstance(module, nn.Linear) and len(self.streams.matches(name)) != 1:
                return f"the layer {name}"
        return None


def restarted(tokens: TokenMap, like: torch.Tensor) -> torch.Tensor:
    """`[S]`: 0, 1, 2, … for each text anew."""
    return torch.cat([torch.arange(n, device=like.device) for n in tokens.lengths]).to(like)


def replaced(args: tuple, index: int, value: Any) -> tuple:
    return (*args[:index], value, *args[index + 1 :])
