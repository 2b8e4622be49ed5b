"""Stable Diffusion's safety checker: a CLIP vision tower, and concepts that a picture is compared to.

The weights are laid out, and the verdict is reached, as in diffusers' StableDiffusionSafetyChecker.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPConfig, CLIPVisionModel, PreTrainedModel

# What a picture near one of the special concepts is nearer to every other concept.
_SPECIAL_CARE = 0.01
_DECIMALS = 3  # to which scores are rounded before they are compared with 0


class SafetyChecker(PreTrainedModel):
    """A picture is flagged where its embedding's cosine with a concept is above that concept's
    threshold, which the published files call its weight."""

    config_class = CLIPConfig
    main_input_name = "pixel_values"

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        size = config.projection_dim
        self.vision_model = CLIPVisionModel(config.vision_config)
        self.visual_projection = nn.Linear(config.vision_config.hidden_size, size, bias=False)
        self.concept_embeds = _constant(17, size)
        self.concept_embeds_weights = _constant(17)
        self.special_care_embeds = _constant(3, size)
        self.special_care_embeds_weights = _constant(3)
        self.post_init()

    @torch.no_grad()
    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Which of the pictures `[B,3,H,W]`, normalised as CLIP takes them, are flagged: `[B]`."""
        embeds = F.normalize(self.visual_projection(self.vision_model(pixel_values)[1]))
        special = _above(embeds, self.special_care_embeds, self.special_care_embeds_weights)
        care = (special.round(decimals=_DECIMALS) > 0).any(dim=1, keepdim=True) * _SPECIAL_CARE
        scores = _above(embeds, self.concept_embeds, self.concept_embeds_weights) + care
        return (scores.round(decimals=_DECIMALS) > 0).any(dim=1)


def _constant(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape), requires_grad=False)


def _above(embeds: torch.Tensor, concepts: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """How far each picture is above each threshold, `[B,concepts]` in float32."""
    return (embeds @ F.normalize(concepts).T).float() - thresholds.float()
