"""Noise that belongs to a face: the same whoever else is in the picture."""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import comfy.samplers
import torch
from comfy.k_diffusion import sampling as k_diffusion

COUPLED = {"dpm_adaptive": "it chooses one step size for the whole batch"}
"""Samplers in which one face would change another's picture."""
# dpm_fast is called by core without options, and draws no noise.
_WITHOUT_OPTIONS = {"dpm_fast"}


def face_seed(seed: int, who: str) -> int:
    """63 bits out of the run's seed and the face's owner."""
    digest = hashlib.sha256(f"{seed}:{who}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True)
class FaceNoise:
    """Noise whose row i is drawn from seeds[i] alone."""

    seeds: tuple[int, ...]

    def generate_noise(self, latent: dict) -> torch.Tensor:
        rows = latent["samples"]
        return _rows([torch.Generator().manual_seed(seed) for seed in self.seeds], rows)


def _rows(generators: Sequence[torch.Generator], like: torch.Tensor) -> torch.Tensor:
    drawn = [torch.randn(like.shape[1:], generator=generator) for generator in generators]
    return torch.stack(drawn).to(like.device, like.dtype)


def sampler_for(
    name: str, seeds: Sequence[int], noise: torch.Tensor, sigmas: torch.Tensor
) -> comfy.samplers.Sampler:
    """Core's sampler, whose own noise, where it draws any, is drawn per row.

    Raises ValueError for a sampler that couples the rows of a batch.
    """
    if name in COUPLED:
        raise ValueError(
            f"sampler: {name} cannot redraw several faces at once, since {COUPLED[name]}. Choose "
            f"another, such as dpmpp_2m or euler."
        )
    function = getattr(k_diffusion, f"sample_{name}", None)
    draws = function is not None and "noise_sampler" in inspect.signature(function).parameters
    if not draws or name in _WITHOUT_OPTIONS:
        sampler = comfy.samplers.sampler_object(name)
        # ddim draws the noise of what is masked out for the whole batch; without this option it is
        # the first noise, as with every other sampler.
        if getattr(sampler, "inpaint_options", {}).get("random"):
            sampler.inpaint_options = {}
        return sampler
    # Another number than the initial noise's, or the first step would add the same noise again.
    own = [face_seed(seed, "steps") for seed in seeds]
    drawn = _noise_sampler(name, own, noise, sigmas)
    return comfy.samplers.ksampler(name, {"noise_sampler": drawn})


def _noise_sampler(
    name: str, seeds: list[int], noise: torch.Tensor, sigmas: torch.Tensor
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Of the kind that core would make: a Brownian path for the DPM++ SDE family, else plain."""
    if name.startswith("dpmpp") and "sde" in name and len(sigmas) > 1:
        positive = sigmas[sigmas > 0]
        return k_diffusion.BrownianTreeNoiseSampler(
            noise, positive.min(), sigmas.max(), seed=seeds, cpu=True
        )
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return lambda sigma, _: _rows(generators, noise).to(sigma.device)
