"""A picture per person -> what the model at hand takes of it, beside the person's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import node_helpers
import torch
from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE

from .families import FAMILIES, family_of
from .families.family import CrossAttentionFamily
from .families.references import LATENTS, LATENTS_METHOD, References
from .image_prompts import ImagePrompt
from .ip_adapter import image_prompt, load_ip_adapter


@dataclass(frozen=True)
class Readers:
    """What pictures are read with: the VAE where they become latents; a file of `models/ipadapter`, a
    CLIP vision model and a strength where they enter by cross-attention."""

    vae: VAE | None = None
    ip_adapter: str = ""
    vision: ClipVisionModel | None = None
    strength: float = 1.0


@dataclass(frozen=True)
class Shown:
    """A picture as its family takes it. image `[1,H,W,3]`, latent as the VAE made it."""

    how: References
    image: torch.Tensor
    latent: torch.Tensor

    def beside(self, conditioning: list) -> list:
        """The conditioning with the picture, by the keys that core's nodes set."""
        values: dict = {LATENTS: [self.latent]}
        if self.how.method:
            values[LATENTS_METHOD] = self.how.method
        return node_helpers.conditioning_set_values(conditioning, values)

    def read(self, clip: CLIP, words: str, encode: Callable[[], list]) -> list:
        """A text with the picture; `encode` is how its family reads words alone."""
        how = self.how.read
        return self.beside(encode() if how is None else how(clip, words, self.image))


def show(
    model: ModelPatcher, readers: Readers, pictures: Sequence[torch.Tensor | None]
) -> list[Shown | ImagePrompt | None]:
    """Everybody's IMAGE `[1,H,W,3]`, read. Raises ValueError where the model takes none, or what it
    takes them by is missing or of another model."""
    if not any(picture is not None for picture in pictures):
        return [None] * len(pictures)
    family = family_of(model)
    read: Callable[[torch.Tensor], Shown | ImagePrompt]
    if family.references is not None:
        read = _by_latents(model, readers, family.references)
    elif isinstance(family, CrossAttentionFamily):
        read = _by_cross_attention(model, readers, family.name)
    else:
        takers = [each.name for each in FAMILIES if each.references]
        adapted = [each.name for each in FAMILIES if isinstance(each, CrossAttentionFamily)]
        raise ValueError(
            f"Input 'references' (or <ref:…> in 'text'): {family.name} takes no reference pictures. "
            f"These do: {', '.join(takers)}, and with an IP-Adapter {', '.join(adapted)}. Load one of "
            f"them, or take the pictures out."
        )
    return [None if picture is None else read(picture) for picture in pictures]


def _by_latents(model: ModelPatcher, readers: Readers, how: References):
    vae = readers.vae
    if vae is None:
        raise ValueError(
            "Input 'vae' is not connected, and reference pictures are encoded by it. Link the "
            "model's VAE."
        )
    made_for = model.model.latent_format
    wanted = made_for.latent_channels, made_for.latent_dimensions

    def read(picture: torch.Tensor) -> Shown:
        latent = vae.encode(how.sized(model.model, picture))
        if (latent.shape[1], latent.ndim - 2) != wanted:
            raise ValueError(
                f"Input 'vae' makes latents of {latent.shape[1]} channels and {latent.ndim - 2} axes, "
                f"and this model paints {wanted[0]} and {wanted[1]}. Link the model's own VAE."
            )
        return Shown(how, picture, latent)

    return read


def _by_cross_attention(model: ModelPatcher, readers: Readers, name: str):
    vision = readers.vision
    if not readers.ip_adapter or vision is None:
        missing = "'clip_vision' is not connected" if readers.ip_adapter else "'ip_adapter' is none"
        raise ValueError(
            f"Input {missing}: {name} takes reference pictures by an IP-Adapter, a file in "
            f"models/ipadapter, with the CLIP vision model that it was made for."
        )
    adapter = load_ip_adapter(readers.ip_adapter)
    return lambda picture: image_prompt(adapter, vision, model, picture, readers.strength)
