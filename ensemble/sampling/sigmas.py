"""Noise levels as diffusers walks them: exactly the steps asked for, or the last part of them."""

import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher


def exact_sigmas(model_sampling: object, scheduler: str, steps: int) -> torch.Tensor:
    """`[steps + 1]` noise levels, highest first, ending at 0.

    Core's `ddim_uniform` walks the 1000 trained levels in strides of 1000 // steps and so returns
    surplus steps where steps does not divide 1000 (30 gives 31, 51 gives 53). diffusers' `leading`
    spacing keeps the lowest ones (its set_timesteps), so the surplus goes from the start.
    """
    sigmas = comfy.samplers.calculate_sigmas(model_sampling, scheduler, steps)
    return sigmas[-(steps + 1) :].cpu()


def sigmas_to_walk(
    model: ModelPatcher, scheduler: str, *, steps: int, denoise: float
) -> torch.Tensor:
    """Of `steps` steps the last `int(steps * denoise)`, as diffusers does from an image; core's
    KSampler would stretch a full run over the same range. At denoise 0 there are none, which leaves
    the latent as it is.
    """
    sigmas = exact_sigmas(model.get_model_object("model_sampling"), scheduler, steps)
    run = min(int(steps * denoise), steps)
    return sigmas[-(run + 1) :] if run else torch.zeros(0)
