"""A custom node for tests: ComfyUI knows Z-Image and Qwen-Image by widths that are no test's, so that
files of a small width get the configuration here. Everything else is core's: files, loader, LoRAs."""

import comfy.model_detection
import comfy.supported_models
from comfy_api.latest import ComfyExtension

Z_IMAGE = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 256, "cap_feat_dim": 768,
    "n_layers": 1, "qk_norm": True, "n_heads": 4, "n_kv_heads": 4, "axes_dims": [16, 24, 24],
    "axes_lens": [1536, 512, 512], "rope_theta": 256.0, "ffn_dim_multiplier": 2.0,
    "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32,
}  # fmt: skip
QWEN_IMAGE = {
    "image_model": "qwen_image", "in_channels": 64, "out_channels": 16, "num_layers": 1,
    "attention_head_dim": 32, "num_attention_heads": 2, "joint_attention_dim": 3584,
    "axes_dims_rope": (8, 12, 12),
}  # fmt: skip
# A weight -> its rows in the small file, the entry of core, the configuration.
SHAPES = {
    "cap_embedder.1.weight": (256, comfy.supported_models.ZImage, Z_IMAGE),
    "txt_in.weight": (64, comfy.supported_models.QwenImage, QWEN_IMAGE),
}
_detect = comfy.model_detection.model_config_from_unet


def detect(state_dict, unet_key_prefix, *args, **more):
    for key, (rows, kind, config) in SHAPES.items():
        weight = state_dict.get(unet_key_prefix + key)
        if weight is not None and weight.shape[0] == rows:
            return kind(dict(config))
    return _detect(state_dict, unet_key_prefix, *args, **more)


class Extension(ComfyExtension):
    async def get_node_list(self):
        return []


async def comfy_entrypoint():
    # Tests read the configurations; only a server that loads this as a node is changed.
    comfy.model_detection.model_config_from_unet = detect
    return Extension()
