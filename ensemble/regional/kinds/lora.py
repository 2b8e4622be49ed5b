"""LoRA, LoCon (convolutions), the Tucker form, and DoRA along the output channels: one product."""

from __future__ import annotations

import torch

from ...core import LoraFactors
from .kind import Kind, Target, product, scale_of


def _change(parts: LoraFactors, target: Target):
    if parts.reshape is not None and tuple(parts.reshape) != tuple(target.shape):
        raise ValueError(
            f"this LoRA changes the layer from {list(target.shape)} to {list(parts.reshape)}, and "
            f"what it reads is the same for everybody. Load the file for everybody with "
            f"MultiLoraLoader, or take it out of the prompt."
        )
    up, down = parts.up.flatten(1), parts.down
    if parts.mid is not None:  # Tucker form: the two inner cores are one convolution
        down = torch.einsum("ijhw,jn->inhw", parts.mid.float(), down.float().flatten(1))
    return product(up, down, scale_of(parts.alpha, parts.down.shape[0]), parts.dora_scale, target)


LORA = Kind("LoRA", LoraFactors, _change)
