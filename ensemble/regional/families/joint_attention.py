"""Families whose texts and picture share one attention, the texts first in the sequence: what
method = fused has to know of them beside what every transformer says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import nn

from .transformer import Texts, TransformerFamily


class Stage(Enum):
    """What a block attends over. It is set while the block runs: lengths cannot tell, since text
    and picture may be equally long."""

    TEXTS = "texts"
    JOINT = "joint"
    PICTURE = "picture"


@dataclass(frozen=True, kw_only=True)
class JointAttentionFamily(TransformerFamily):
    """calls_wrappers: whether the model class calls WrappersMP.DIFFUSION_MODEL."""

    calls_wrappers: bool = True

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        """Every block with an attention, and over what."""
        raise NotImplementedError

    def text_modules(self, unet: nn.Module) -> Iterable[nn.Module]:
        """Modules whose output for a text follows from that text alone, whatever the step and the
        picture; tokens on the second axis of every tensor."""
        return ()

    def text_positions(self, unet: nn.Module, ids: torch.Tensor, texts: Texts) -> torch.Tensor:
        """The texts' position ids `[B,S,axes]` so that each text stands where it stands alone."""
        return ids
