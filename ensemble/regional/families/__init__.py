"""The families of models that Ensemble knows: an import and a place in FAMILIES for each."""

from comfy.model_patcher import ModelPatcher

from .family import Family
from .unet import STABLE_DIFFUSION, STABLE_DIFFUSION_XL

FAMILIES: tuple[Family, ...] = (STABLE_DIFFUSION_XL, STABLE_DIFFUSION)
"""The first that recognises a model describes it, so a narrow entry comes before a wide one:
STABLE_DIFFUSION, which takes every other UNet with cross-attention, is the last."""

OTHER = Family(
    name="another family", clip_channels={"l": 768, "g": 1280, "h": 1024}
)  # fmt: skip
"""Any model that no entry knows, with any of core's CLIP encoders."""


def family_of(model: ModelPatcher) -> Family:
    """The entry that describes this model; OTHER where none does."""
    return next((entry for entry in FAMILIES if entry.recognises(model.model)), OTHER)
