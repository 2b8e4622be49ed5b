"""How far ComfyUI's sampler for a hosted scheduler name ends from diffusers' scheduler of that name.

Same start noise, same small predictor of noise (the exact denoiser of a toy
distribution, float32 because core's UniPC is), 30 steps. Samplers that draw noise are given zeros on both sides, since the two engines'
generators differ: what is left is the method, where the steps lie, and the last sigma.
"""

import inspect
import sys
from typing import Any

STEPS = 30
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler")
# These cannot run Stable Diffusion in diffusers at all; see docs/recipes.md.
WITHOUT_PARTNER = (
    "DDIMInverseScheduler",
    "IPNDMScheduler",
    "KarrasVeScheduler",
    "ScoreSdeVeScheduler",
)
# Astria's names, by the diffusers classes its documentation names them after.
ASTRIA = {
    "euler": ("EulerDiscreteScheduler", False),
    "euler_a": ("EulerAncestralDiscreteScheduler", False),
    "dpm++2m": ("DPMSolverMultistepScheduler", False),
    "dpm++2m_karras": ("DPMSolverMultistepScheduler", True),
    "dpm++sde": ("DPMSolverSDEScheduler", False),
    "dpm++sde_karras": ("DPMSolverSDEScheduler", True),
    "lcm": ("LCMScheduler", False),
}


def predictor():
    """The exact denoiser of a toy distribution: around a fixed picture, each value one of two modes."""
    import torch

    picture = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    spread = 0.1

    def denoised(x, sigma):
        variance = spread + torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1) ** 2
        away = x - picture
        mode = torch.tanh(away / variance)
        return picture + (spread * away + (variance - spread) * mode) / variance

    return denoised


def comfy_result(name: str, karras: bool, noise) -> Any:
    """The sample that ComfyUI's sampler function ends at, x in its sigma space."""
    import comfy.k_diffusion.sampling as k_sampling
    import comfy.model_sampling
    import comfy.samplers
    import torch
    from ensemble_portraits.ensemble.recipes.schedulers import choose
    from ensemble_portraits.ensemble.sampling.sigmas import sigmas_to_walk

    class Levels(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        """SD1.5's noise levels and prediction type, as core puts them together."""

    levels = Levels()

    class Net:
        def get_model_object(self, _):
            return levels

    class Guide:
        """Stands where core's KSamplerX0Inpaint stands."""

        def __init__(self):
            self.inner_model = self
            self.model_patcher = type("P", (), {"get_model_object": lambda s, n: levels})()
            self.model_sampling = levels

        def __call__(self, x, sigma, **_):
            return predictor()(x, sigma.to(x.dtype))

    choice = choose(name, karras=karras, allow_approximate=True)
    sigmas = sigmas_to_walk(Net(), choice.scheduler, steps=STEPS, denoise=1.0)
    sampler = comfy.samplers.sampler_object(choice.sampler)
    sigmas = sigmas.to(noise.dtype)
    silent = lambda x, *a, **k: lambda s, t: torch.zeros_like(x)  # noqa: E731
    kept = k_sampling.default_noise_sampler
    k_sampling.default_noise_sampler = silent
    options = dict(sampler.extra_options)
    if "sde" in choice.sampler:
        options["noise_sampler"] = lambda s, t: torch.zeros_like(noise)
    try:
        return sampler.sampler_function(
            Guide(),
            noise * sigmas[0],
            sigmas,
            extra_args={},
            callback=None,
            disable=True,
            **options,
        )
    finally:
        k_sampling.default_noise_sampler = kept


def diffusers_result(name: str, karras: bool, noise) -> Any:
    """The sample that diffusers' scheduler ends at, taken to ComfyUI's sigma space."""
    import diffusers
    import torch

    kind = getattr(diffusers, name)
    scheduler = _scheduler(kind, karras)
    scheduler.set_timesteps(STEPS)
    cumulative = scheduler.alphas_cumprod
    sigma_space = hasattr(scheduler, "sigmas") and not isinstance(
        scheduler,
        (
            diffusers.DPMSolverMultistepScheduler,
            diffusers.DPMSolverSinglestepScheduler,
            diffusers.UniPCMultistepScheduler,
            diffusers.DEISMultistepScheduler,
        ),
    )
    x = noise * scheduler.init_noise_sigma
    if sigma_space and float(scheduler.init_noise_sigma) > 2:
        # Euler and its kin start a little wider, at sqrt(sigma^2 + 1); ComfyUI at sigma.
        x = noise * float(scheduler.sigmas[0])
    model = predictor()

    module = sys.modules[kind.__module__]
    real = getattr(module, "randn_tensor", None)
    if real:
        module.randn_tensor = lambda shape, **k: torch.zeros(shape, dtype=k.get("dtype"))
    if name == "DPMSolverSDEScheduler":
        scheduler.noise_sampler = lambda s, t: torch.zeros_like(noise)
    try:
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, t)
            if sigma_space:
                # The index moves on inside step(); scaled = x / sqrt(sigma^2 + 1).
                ratio = (x / scaled).flatten()[0]
                sigma = float((ratio**2 - 1).clamp(min=1e-12).sqrt())
                state = x
            else:
                sigma = _sigma_at(cumulative, float(t))
                if hasattr(scheduler, "sigmas"):
                    index = scheduler.step_index or 0
                    sigma = float(scheduler.sigmas[index])
                state = x * (sigma**2 + 1) ** 0.5
            epsilon = (state - model(state, sigma)) / sigma
            x = scheduler.step(epsilon, t, x).prev_sample
    finally:
        if real:
            module.randn_tensor = real
    return x


def _scheduler(kind: Any, karras: bool) -> Any:
    """Configured as Stable Diffusion 1.5's own scheduler_config.json, where the class knows it."""
    config: dict[str, Any] = dict(BETAS)
    known = inspect.signature(kind.__init__).parameters
    if "use_karras_sigmas" in known:
        config["use_karras_sigmas"] = karras
    if "steps_offset" in known:
        config["steps_offset"] = 1
    if "clip_sample" in known:
        config["clip_sample"] = False
    if "timestep_spacing" in known and kind.__name__ in LEADING:
        config["timestep_spacing"] = "leading"
    if "set_alpha_to_one" in known:
        config["set_alpha_to_one"] = False
    return kind(**config)


def _sigma_at(cumulative, t: float) -> float:
    value = cumulative[round(t)]
    return float(((1 - value) / value) ** 0.5)


def measure() -> list[dict[str, Any]]:
    import torch
    from ensemble_portraits.ensemble.recipes.schedulers import DIFFUSERS, choose

    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    pairs = [
        (e.name, e.name, k)
        for e in DIFFUSERS
        for k in ((False, True) if e.karras is None else (False,))
    ]
    pairs += [(name, partner, karras) for name, (partner, karras) in ASTRIA.items()]
    rows = []
    for name, partner, karras in pairs:
        if partner in WITHOUT_PARTNER:
            continue
        ours, theirs = comfy_result(name, karras, noise), diffusers_result(partner, karras, noise)
        difference = (ours - theirs).abs()
        choice = choose(name, karras=karras, allow_approximate=True)
        rows.append(
            {
                "name": name,
                "karras": karras,
                "sampler": choice.sampler,
                "scheduler": choice.scheduler,
                "maximum": float(difference.max()),
                "mean": float(difference.mean()),
                "size": float(theirs.std()),
            }
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    import engine  # here, because the tests take this file's measure() alone

    arguments = engine.options(__doc__, "the same: it takes seconds").parse_args(argv)
    engine.load()
    rows = measure()
    engine.report(rows, list(rows[0]), arguments.json)


if __name__ == "__main__":
    main()
