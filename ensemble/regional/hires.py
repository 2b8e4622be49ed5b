"""The hires fix: a larger picture, then a low-denoise pass over it in tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import comfy.model_management
import comfy.sample
import comfy.utils
import torch

from ..regions.rect import WHOLE, Rect
from .crops import ForTile
from .sampling import SamplingSettings
from .tiles import tiled

# Float32 pictures of the result alive at once: upscaled, resized, encoder input, output.
_COPIES = 6
_MOST_OF_FREE = 0.8


@dataclass(frozen=True, kw_only=True)
class HiresSettings:
    """factor: of the sides; width, height: px, 0 to follow `factor` (or the other side).

    tile, overlap: px of the result; tile 0 paints the whole picture at once.
    """

    sampling: SamplingSettings
    factor: float = 2.0
    width: int = 0
    height: int = 0
    tile: int = 1024
    overlap: int = 128


def target_size(settings: HiresSettings, width: int, height: int, multiple: int) -> tuple[int, int]:
    """Width and height of the result, px, multiples of what the VAE needs."""
    if settings.width and settings.height:
        wanted = settings.width, settings.height
    elif settings.width:
        wanted = settings.width, height * settings.width / width
    elif settings.height:
        wanted = width * settings.height / height, settings.height
    else:
        wanted = width * settings.factor, height * settings.factor
    wide, tall = (max(multiple, math.floor(side / multiple + 0.5) * multiple) for side in wanted)
    return wide, tall


def check_memory(count: int, width: int, height: int, free: int) -> None:
    """Refuse a result that main memory cannot hold. MemoryError names the size and what would
    fit."""
    needed = count * width * height * 3 * 4 * _COPIES
    if needed > free * _MOST_OF_FREE:
        fits = math.sqrt(free * _MOST_OF_FREE / needed)
        raise MemoryError(
            f"factor or size asks for {count} x {width}x{height} px, about {needed / 2**30:.1f} "
            f"GiB of memory; {free / 2**30:.1f} GiB are free. About {int(width * fits)}x"
            f"{int(height * fits)} px would fit, or fewer pictures at once."
        )


def enlarge(image: torch.Tensor, upscale_model, width: int, height: int) -> torch.Tensor:
    """IMAGE to the given size: by the upscale model where there is one, the rest by Lanczos."""
    if upscale_model is not None:
        from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel

        image = ImageUpscaleWithModel.execute(upscale_model, image)[0]
    if (image.shape[2], image.shape[1]) == (width, height):
        return image
    planes = comfy.utils.common_upscale(image.movedim(-1, 1), width, height, "lanczos", "disabled")
    return planes.movedim(1, -1)


def refine(
    latent: torch.Tensor, for_tile: ForTile, settings: HiresSettings, ratio: int
) -> torch.Tensor:
    """Sample a LATENT `[B,C,H,W]` or `[B,C,1,H,W]` at `denoise`, tile by tile; `ratio` is px per latent pixel.

    All tiles see one noise of the whole picture, so they agree where they overlap.
    """
    from latent_preview import prepare_callback

    how, (height, width) = settings.sampling, latent.shape[-2:]
    noise = comfy.sample.prepare_noise(latent, how.seed)

    def run(tile: Rect) -> torch.Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        painter = for_tile(tile.as_fractions(width=width, height=height))
        return comfy.sample.sample(
            painter.model, tile.cut(noise), how.steps, how.cfg, how.sampler, how.scheduler,
            painter.positive, painter.negative, tile.cut(latent), denoise=how.denoise,
            seed=how.seed, callback=prepare_callback(painter.model, how.steps),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        )  # fmt: skip

    if settings.tile == 0:
        return run(WHOLE)
    side = max(2, settings.tile // ratio)
    return tiled(latent, side, min(settings.overlap // ratio, side // 2), run)


def hires(
    image: torch.Tensor, vae, for_tile: ForTile | None, upscale_model, settings: HiresSettings
) -> torch.Tensor:
    """IMAGE `[B,H,W,C]` -> IMAGE at the target size; alpha is dropped. MemoryError, see above.

    Without `for_tile`, as at denoise 0, it is only enlarged.
    """
    if image.shape[0] == 0:
        raise ValueError("image holds no picture; link at least one.")
    ratio = vae.spacial_compression_encode()
    colour = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].expand(-1, -1, -1, 3)
    if not torch.isfinite(colour).all():
        # One of them would spread over the whole picture in the VAE.
        raise ValueError(
            "image holds pixels that are no numbers (NaN or infinite), as a VAE in half precision "
            "leaves them; decode it with --fp32-vae."
        )
    width, height = target_size(settings, image.shape[2], image.shape[1], ratio)
    free = comfy.model_management.get_free_memory(torch.device("cpu"))
    grown = upscale_model.scale if upscale_model is not None else 1
    largest = max(width, image.shape[2] * grown), max(height, image.shape[1] * grown)
    check_memory(image.shape[0], int(largest[0]), int(largest[1]), free)
    large = enlarge(colour, upscale_model, width, height)
    if for_tile is None or settings.sampling.denoise == 0.0:
        return large
    samples = refine(_encoded(vae, large), for_tile, settings, ratio)
    decoded = vae.decode(samples)
    return decoded.reshape(-1, *decoded.shape[-3:])  # latents with a time axis give frames


def _encoded(vae, pictures: torch.Tensor) -> torch.Tensor:
    """IMAGE -> LATENT. A video's VAE (Krea 2 and Qwen-Image share Wan's) would take the pictures of
    a batch for one film."""
    if vae.latent_dim < 3:
        return vae.encode(pictures)
    return torch.cat([vae.encode(picture[None]) for picture in pictures])
