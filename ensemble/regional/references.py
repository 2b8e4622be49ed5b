"""A picture per person -> what the model at hand takes of it, beside the person's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import node_helpers
import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE

from .families import FAMILIES, family_of
from .families.references import References


@dataclass(frozen=True)
class Shown:
    """A picture as its family takes it. image `[1,H,W,3]`, latent as the VAE made it."""

    how: References
    image: torch.Tensor
    latent: torch.Tensor

    def beside(self, conditioning: list) -> list:
        """The conditioning with the picture, by the keys that core's nodes set."""
        values: dict = {"reference_latents": [self.latent]}
        if self.how.method:
            values["reference_latents_method"] = self.how.method
        return node_helpers.conditioning_set_values(conditioning, values)

    def read(self, clip: CLIP, words: str, encode: Callable[[], list]) -> list:
        """A text with the picture; `encode` is how its family reads words alone."""
        how = self.how.read
        return self.beside(encode() if how is None else how(clip, words, self.image))


def show(
    model: ModelPatcher, vae: VAE | None, pictures: Sequence[torch.Tensor | None]
) -> list[Shown | None]:
    """Everybody's IMAGE `[1,H,W,3]`, encoded. Raises ValueError where the model takes none, or the VAE
    is missing or of another model."""
    if not any(picture is not None for picture in pictures):
        return [None] * len(pictures)
    family = family_of(model)
    if family.references is None:
        takers = ", ".join(each.name for each in FAMILIES if each.references)
        raise ValueError(
            f"Input 'references' (or <ref:…> in 'text'): {family.name} takes no reference pictures. "
            f"These do: {takers}. Load one of them, or take the pictures out."
        )
    if vae is None:
        raise ValueError(
            "Input 'vae' is not connected, and reference pictures are encoded by it. Link the "
            "model's VAE."
        )
    return [
        None if picture is None else _shown(model, vae, family.references, picture)
        for picture in pictures
    ]


def _shown(model: ModelPatcher, vae: VAE, how: References, picture: torch.Tensor) -> Shown:
    latent = vae.encode(how.sized(model.model, picture))
    made_for = model.model.latent_format
    if (latent.shape[1], latent.ndim - 2) != (made_for.latent_channels, made_for.latent_dimensions):
        raise ValueError(
            f"Input 'vae' makes latents of {latent.shape[1]} channels and {latent.ndim - 2} axes, and "
            f"this model paints {made_for.latent_channels} and {made_for.latent_dimensions}. Link "
            f"the model's own VAE."
        )
    return Shown(how, picture, latent)
