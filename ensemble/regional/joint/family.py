"""What the joint attention engine has to know of one model class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from .attention import Stage
from .streams import StreamTable
from .tokens import Grid, TokenMap

Replacement = tuple[nn.Module, str, Callable]
"""module, name of a method, what stands in for it while the model runs."""


REFERENCES, MASK = "ref_latents", "attention_mask"
"""Keys of core's `model_conds`."""


class JointFamily:
    """A model class whose texts and picture share one attention, the texts first in the sequence.

    Subclasses give `streams`, `signatures`, `stages` and `grid`, and what they need of the rest.
    """

    streams: StreamTable
    signatures: Mapping[str, tuple[str, ...]] = {}
    """Methods of the model class that this entry relies on -> the names of their parameters. Where
    they differ, ComfyUI is newer than the entry."""

    refused: Mapping[str, str] = {REFERENCES: "reference pictures"}
    """Parts of the model's conditioning that people cannot share -> their names in a message."""

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
        for name, wanted in self.signatures.items():
            method = getattr(type(unet), name, None)
            found = None if method is None else tuple(inspect.signature(method).parameters)
            if found != wanted:
                return f"{type(unet).__name__}.{name}"
        for name, module in unet.named_modules():
            if isinstance(module, nn.Linear) and len(self.streams.matches(name)) != 1:
                return f"the layer {name}"
        return None


def restarted(tokens: TokenMap, like: torch.Tensor) -> torch.Tensor:
    """`[S]`: 0, 1, 2, … for each text anew."""
    return torch.cat([torch.arange(n, device=like.device) for n in tokens.lengths]).to(like)


def replaced(args: tuple, index: int, value: Any) -> tuple:
    return (*args[:index], value, *args[index + 1 :])
