"""A custom node for tests: core's loaders of text encoders and VAEs give small stand-ins, so that a
workflow of a large model runs with the file names that it has. Its diffusion model is ComfyUI's own."""

import comfy.sd
import folder_paths
import torch
from comfy_api.latest import ComfyExtension

import nodes

# Type of CLIPLoader -> width and tokens of its conditioning, as the small models of the tests read it.
CLIPS = {"krea2": (120, 20), "flux2": (96, 40), "lumina2": (768, 40), "qwen_image": (3584, 40)}
# File -> channels of the latent, px of a latent's place, latent dimensions.
VAES = {
    "ae.safetensors": (16, 8, 2),
    "qwen_image_vae.safetensors": (16, 8, 3),
    "flux2-vae.safetensors": (128, 16, 2),
}


class Clip:
    """The small CLIP, its vectors cut or repeated; like a language model's it knows no emphasis."""

    def __init__(self, clip, width: int, tokens: int):
        self.clip, self.width, self.tokens = clip, width, tokens

    def __getattr__(self, name):
        return getattr(self.clip, name)

    def clone(self):
        return Clip(self.clip.clone(), self.width, self.tokens)

    def tokenize(self, text, **more):
        from comfy.sd1_clip import escape_important

        return self.clip.tokenize(escape_important(text).replace("(", "\\("), **more)

    def encode_from_tokens_scheduled(self, tokens):
        conditioning = self.clip.encode_from_tokens_scheduled(tokens)
        return [[self._fitted(context), values] for context, values in conditioning]

    def _fitted(self, context: torch.Tensor) -> torch.Tensor:
        context = context[:, : self.tokens]
        return context.repeat(1, 1, -(-self.width // context.shape[2]))[..., : self.width]


class Vae:
    """Every place of the latent is a square of one colour."""

    def __init__(self, channels: int, px: int, dimensions: int):
        self.channels, self.px, self.latent_dim = channels, px, dimensions

    def spacial_compression_encode(self) -> int:
        return self.px

    spacial_compression_decode = spacial_compression_encode

    def decode(self, latent: torch.Tensor, **_) -> torch.Tensor:
        latent = latent[:, :, 0] if latent.ndim == 5 else latent
        pixels = torch.nn.functional.interpolate(latent[:, :3].float(), scale_factor=self.px)
        return (pixels.movedim(1, -1) / 8 + 0.5).clamp(0, 1)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        latent = torch.nn.functional.avg_pool2d(pixels[..., :3].movedim(-1, 1) * 8 - 4, self.px)
        latent = latent.repeat(1, -(-self.channels // 3), 1, 1)[:, : self.channels]
        return latent.unsqueeze(2) if self.latent_dim == 3 else latent


def load_clip(self, clip_name, type="stable_diffusion", device="default"):
    file = folder_paths.get_full_path_or_raise("checkpoints", "small_sd15.safetensors")
    _, clip, *_ = comfy.sd.load_checkpoint_guess_config(file, output_vae=False, output_model=False)
    return (Clip(clip, *CLIPS[type]),)


def load_vae(self, vae_name):
    return (Vae(*VAES[vae_name]),)


nodes.CLIPLoader.load_clip = load_clip
nodes.VAELoader.load_vae = load_vae


class Extension(ComfyExtension):
    async def get_node_list(self):
        return []


async def comfy_entrypoint():
    return Extension()
