"""Crops of faces through the sampler: all of them in one batch where memory allows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher

from ..regional.families import family_of
from ..regional.sampling import SamplingSettings
from .crop import Oval
from .noise import FaceNoise, face_seed, sampler_for
from .painters import FacePainter, Painter, Target

_MOST_OF_FREE = 0.8


@dataclass(frozen=True, kw_only=True)
class RedrawSettings:
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(denoise=0.5))
    # Pixels of a crop's side as the model sees it; 0: the model's own.
    size: int = 0
    # Side of a crop in sides of the face.
    context: float = 2.0
    oval: Oval = field(default_factory=Oval)


def crop_size(model: ModelPatcher, wanted: int, ratio: int) -> int:
    """Pixels of a crop's side, a multiple of the VAE's `ratio`: those that the model was trained
    on, unless others are wanted."""
    side = wanted or family_of(model).picture_side
    return max(ratio, round(side / ratio) * ratio)


def faces_at_once(model: ModelPatcher, shape: Sequence[int]) -> int:
    """How many latents of `[C,h,w]` the memory holds with both sides of CFG, at least one."""
    missing = model.model_size() - model.loaded_size()
    free = comfy.model_management.get_free_memory(model.load_device) * _MOST_OF_FREE - missing
    # Core may shrink what it batches, but never below one side of CFG for all faces.
    one = model.model.memory_required([2, *shape])
    return max(1, int(free / max(one, 1)))


def redraw(
    pixels: torch.Tensor,
    masks: torch.Tensor,
    targets: Sequence[Target],
    vae,
    painter: FacePainter,
    settings: RedrawSettings,
) -> torch.Tensor:
    """Crops `[N,S,S,3]` redrawn where masks `[N,S,S]` say, softly; `[N,S,S,3]`.

    One sampler run for all, unless memory or texts of unlike length make it more.
    """
    index = {id(target): i for i, target in enumerate(targets)}
    result = torch.empty_like(pixels)
    for group in painter.groups(targets):
        at = [index[id(target)] for target in group]
        latent = torch.cat([vae.encode(pixels[i : i + 1]) for i in at])
        batch = faces_at_once(painter.model, latent.shape[1:])
        done = 0
        while done < len(group):
            part = slice(done, done + batch)
            comfy.model_management.throw_exception_if_processing_interrupted()
            try:
                samples = _sample(
                    latent[part], pixels[at[part]], masks[at[part]], group[part], vae, painter,
                    settings.sampling,
                )  # fmt: skip
            except Exception as error:
                comfy.model_management.raise_non_oom(error)
                if batch == 1 or len(group[part]) == 1:
                    raise
                comfy.model_management.soft_empty_cache()
                batch = (len(group[part]) + 1) // 2
                continue
            for i, sample in zip(at[part], samples, strict=True):
                decoded = vae.decode(sample[None])
                result[i] = decoded.reshape(-1, *decoded.shape[-3:])[0, ..., :3]
            done += len(group[part])
    return result


def _sample(latent, pixels, masks, targets, vae, painter: FacePainter, by: SamplingSettings):
    """One sampler run; LATENT in and out."""
    from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion
    from latent_preview import prepare_callback

    from nodes import InpaintModelConditioning

    painted = painter.paint(targets, pixels.shape[1])
    if family_of(painted.model).takes_masked_picture(painted.model.model):
        sides = InpaintModelConditioning().encode(
            painted.positive, painted.negative, pixels, vae, masks, noise_mask=False
        )
        painted = Painter(painted.model, *sides[:2])
    model = DifferentialDiffusion.execute(painted.model)[0]
    sigmas = comfy.samplers.KSampler(
        model, by.steps, model.load_device, by.sampler, by.scheduler, by.denoise,
        model.model_options,
    ).sigmas  # fmt: skip
    seeds = tuple(face_seed(by.seed + painter.seed_offset(t), t.who) for t in targets)
    noise = FaceNoise(seeds).generate_noise({"samples": latent})
    return comfy.sample.sample_custom(
        model, noise, by.cfg, sampler_for(by.sampler, seeds, noise, sigmas), sigmas,
        painted.positive, painted.negative, latent, noise_mask=_like(latent, masks),
        callback=prepare_callback(model, len(sigmas) - 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED, seed=by.seed,
    )  # fmt: skip


def _like(latent: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Masks `[N,S,S]` with the axes of `[N,C,h,w]` or `[N,C,1,h,w]`; core takes masks without an
    axis of time for the frames of one film."""
    return masks.view(len(masks), *[1] * (latent.ndim - 3), *masks.shape[1:])
