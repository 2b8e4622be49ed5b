"""The sampler and the noise levels behind a hosted scheduler name."""

import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher

from ..recipes.schedulers import SamplerChoice


def exact_sigmas(model_sampling: object, scheduler: str, steps: int) -> torch.Tensor:
    """`[steps + 1]` noise levels, highest first, ending at 0.

    Core's `ddim_uniform` walks the 1000 trained levels in strides of 1000 // steps and so returns
    surplus steps where steps does not divide 1000 (30 gives 31, 51 gives 53). diffusers' `leading`
    spacing keeps the lowest ones (its set_timesteps), so the surplus goes from the start.
    """
    sigmas = comfy.samplers.calculate_sigmas(model_sampling, scheduler, steps)
    return sigmas[-(steps + 1) :].cpu()


def hosted_sampler(
    model: ModelPatcher, choice: SamplerChoice, steps: int, denoise: float
) -> tuple[comfy.samplers.Sampler, torch.Tensor]:
    """Core's sampler object and the noise levels to walk.

    `denoise` below 1 runs the last `int(steps * denoise)` steps, as diffusers does from an image;
    core's KSampler would stretch a full run over the same range. 0 gives an empty schedule, which
    leaves the latent as it is.
    """
    sigmas = exact_sigmas(model.get_model_object("model_sampling"), choice.scheduler, steps)
    run = min(int(steps * denoise), steps)
    kept = sigmas[-(run + 1) :] if run else torch.zeros(0)
    return comfy.samplers.sampler_object(choice.sampler), kept
