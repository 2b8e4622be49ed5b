"""The families of models that Ensemble knows: an import and a place in FAMILIES for each."""

from comfy.model_patcher import ModelPatcher

from .anima import ANIMA
from .family import Family
from .flux import CHROMA, FLUX
from .krea2 import KREA_2
from .qwen_image import QWEN_IMAGE
from .sd3 import STABLE_DIFFUSION_3
from .unet import STABLE_DIFFUSION, STABLE_DIFFUSION_XL
from .z_image import Z_IMAGE

FAMILIES: tuple[Family, ...] = (
    Z_IMAGE,
    KREA_2,
    FLUX,
    CHROMA,
    QWEN_IMAGE,
    ANIMA,
    STABLE_DIFFUSION_3,
    STABLE_DIFFUSION_XL,
    STABLE_DIFFUSION,
)
"""The first that recognises a model describes it, so a narrow entry comes before a wide one."""

OTHER = Family(
    name="another family", clip_channels={"l": 768, "g": 1280, "h": 1024}
)  # fmt: skip
"""Any model that no entry knows, with any of core's CLIP encoders."""


def family_of(model: ModelPatcher) -> Family:
    """The entry that describes this model; OTHER where none does."""
    return next((entry for entry in FAMILIES if entry.recognises(model.model)), OTHER)
