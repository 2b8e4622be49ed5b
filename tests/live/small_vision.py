"""A custom node for tests: core's loader of CLIP vision models gives a small one of random weights, since
core tells files apart by depths that are no test's."""

import math

import torch
from comfy.clip_vision import ClipVisionModel
from comfy_api.latest import ComfyExtension

import nodes

WIDTH = 40
"""Of the picture's embedding."""
VISION = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 28,
    "intermediate_size": 64, "patch_size": 14, "num_channels": 3, "hidden_act": "gelu",
    "projection_dim": WIDTH, "model_type": "clip_vision_model",
}  # fmt: skip


def load_clip(self, clip_name):
    vision = ClipVisionModel(VISION)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in vision.model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            plain = parameter.ndim > 1
            parameter.copy_(noise / math.sqrt(parameter[0].numel()) if plain else 1 + noise / 9)
    return (vision,)


class Extension(ComfyExtension):
    async def get_node_list(self):
        return []


async def comfy_entrypoint():
    # Only a server that loads this as a node is changed.
    nodes.CLIPVisionLoader.load_clip = load_clip
    return Extension()
