"""Pictures whose left edge continues their right edge: convolutions that wrap around in x.

Every 2D convolution of UNet and VAE sees its input as a ring from left to right, while it runs and
no longer; everything else in both nets (attention, group norm) has no notion of a border.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy.sd import VAE

KEY = "ensemble_panorama"
# Tiles cannot wrap by themselves: the ring is opened here and overlaps by this many latent columns.
TILED_MARGIN = 16


def panorama_model(model: ModelPatcher) -> ModelPatcher:
    """A clone of a ModelPatcher whose UNet wraps around in x. ValueError for a transformer, whose
    tokens know their place by position alone."""
    if not any(module.padding[1] for module in _convolutions(model.model.diffusion_model)):
        raise ValueError(
            f"Input 'model' of Panorama is a {type(model.model).__name__}, a transformer without "
            f"convolutions, in which nothing can wrap around. Take a model of SD1.5 or SDXL, or leave "
            f"Panorama out."
        )
    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, _wrapped_forward)
    return clone


def panorama_vae(vae: VAE) -> VAE:
    """A VAE over the same weights that wraps around in x when it encodes and decodes."""
    ring = copy.copy(vae)

    def through_ring(run, *args, **kwargs):
        with circular_in_x(vae.first_stage_model):
            return run(*args, **kwargs)

    def decode_tiled(samples: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        """`[B,C,H,W]` -> `[B,8H,8W,3]`. The right end is decoded a second time left of the left
        edge, and the picture fades into that copy, which the left edge continues."""
        margin = min(TILED_MARGIN, samples.shape[-1])
        opened = F.pad(samples, (margin, 0, 0, 0), mode="circular")
        picture = vae.decode_tiled(opened, *args, **kwargs)
        columns = margin * (picture.shape[-2] // opened.shape[-1])
        copy_of_end, picture = picture[..., :columns, :], picture[..., columns:, :]
        fade = (torch.arange(columns, device=picture.device) + 1)[:, None] / columns
        end = picture[..., -columns:, :].lerp(copy_of_end, fade.to(picture.dtype))
        return torch.cat([picture[..., :-columns, :], end], dim=-2)

    ring.decode = partial(through_ring, vae.decode)
    ring.encode = partial(through_ring, vae.encode)
    ring.decode_tiled = decode_tiled
    return ring


def _wrapped_forward(executor, *args, **kwargs):
    with circular_in_x(executor.class_obj):
        return executor(*args, **kwargs)


@contextmanager
def circular_in_x(net: torch.nn.Module) -> Iterator[None]:
    """All 2D convolutions of `net` wrap around in x inside the block; in y it stays zeros."""
    convolutions = _convolutions(net)
    try:
        for module in convolutions:
            module._conv_forward = partial(_ring_convolution, module)
        yield
    finally:
        for module in convolutions:
            module.__dict__.pop("_conv_forward", None)


def _convolutions(net: torch.nn.Module) -> list[torch.nn.Conv2d]:
    return [
        module
        for module in net.modules()
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size[1] > 1
    ]


def _ring_convolution(
    module: torch.nn.Conv2d,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """`[B,C,H,W]` -> `[B,C',H',W']`; like torch.nn.Conv2d._conv_forward, a ring in x."""
    high, wide = module.padding
    if wide:
        x = F.pad(x, (wide, wide, 0, 0), mode="circular")
    elif module.stride[1] == 2:
        # The VAE's encoder pads one column of zeros on the right itself (Downsample.forward).
        x = torch.cat([x[..., :-1], x[..., :1]], dim=-1)
    return F.conv2d(x, weight, bias, module.stride, (high, 0), module.dilation, module.groups)
