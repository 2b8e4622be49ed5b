"""Every linear layer of the real model classes is on exactly one stream, and a ComfyUI that has
moved is noticed before it paints."""

import dataclasses

import comfy.lora
import comfy.ops
import pytest
import small
import torch
from comfy import supported_models
from ensemble_portraits.ensemble.regional.build import prepare
from ensemble_portraits.ensemble.regional.families import FAMILIES
from ensemble_portraits.ensemble.regional.families.transformer import TransformerFamily
from ensemble_portraits.ensemble.regional.people import Method

FLUX_WIDE = {"hidden_size": 3072, "num_heads": 24, "axes_dim": [16, 56, 56], "depth": 19,
             "depth_single_blocks": 38, "context_in_dim": 4096, "vec_in_dim": 768}  # fmt: skip
KLEIN = {"hidden_size": 3072, "num_heads": 24, "axes_dim": [32] * 4, "depth": 5,
         "depth_single_blocks": 20, "context_in_dim": 7680}  # fmt: skip
DEV2 = {"hidden_size": 6144, "num_heads": 48, "depth": 8, "depth_single_blocks": 48,
        "context_in_dim": 15360, "guidance_embed": True}  # fmt: skip
CHROMA = {key: value for key, value in {**small.FLUX, **FLUX_WIDE}.items()
          if key not in ("guidance_embed", "in_channels")}  # fmt: skip
SD3_WIDE = {
    "in_channels": 16, "pos_embed_scaling_factor": None, "pos_embed_max_size": 192, "patch_size": 2,
    "num_patches": 36864, "adm_in_channels": 2048, "qk_norm": "rms",
    "x_block_self_attn_layers": [],
    "context_embedder_config": {
        "target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 1536},
    },
}  # fmt: skip
REAL = {
    "z_image": (supported_models.ZImage, {
        "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 3840,
        "cap_feat_dim": 2560, "n_layers": 30, "qk_norm": True, "n_heads": 30, "n_kv_heads": 30,
        "axes_dims": [32, 48, 48], "axes_lens": [1536, 512, 512], "rope_theta": 256.0,
        "ffn_dim_multiplier": 8 / 3, "z_image_modulation": True, "time_scale": 1000.0,
        "pad_tokens_multiple": 32, "siglip_feat_dim": 1152,
    }),
    "lumina2": (supported_models.Lumina2, {
        "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 2304,
        "cap_feat_dim": 2304, "n_layers": 26, "qk_norm": True, "n_heads": 24, "n_kv_heads": 8,
        "axes_dims": [32, 32, 32], "axes_lens": [300, 512, 512], "rope_theta": 10000.0,
        "ffn_dim_multiplier": 4.0, "clip_text_dim": 1024,
    }),
    "krea2": (supported_models.Krea2, {"image_model": "krea2"}),
    "flux": (supported_models.Flux, {**small.FLUX, **FLUX_WIDE}),
    "flux2_klein": (supported_models.Flux2, {**small.FLUX2, **KLEIN}),
    "flux2_dev": (supported_models.Flux2, {**small.FLUX2, **KLEIN, **DEV2}),
    "chroma": (supported_models.Chroma, {
        **CHROMA, "image_model": "chroma", "in_channels": 64, "out_channels": 64,
        "vec_in_dim": None, "in_dim": 64, "out_dim": 3072, "hidden_dim": 5120, "n_layers": 5,
    }),
    "qwen_image": (supported_models.QwenImage, {"image_model": "qwen_image"}),
    "sd35_large": (supported_models.SD3, {**SD3_WIDE, "depth": 38}),
    "sd35_medium": (supported_models.SD3, {
        **SD3_WIDE, "depth": 24, "x_block_self_attn_layers": list(range(13)),
    }),
    "anima": (supported_models.Anima, {
        "image_model": "anima", "max_img_h": 240, "max_img_w": 240, "max_frames": 128,
        "in_channels": 16, "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1,
        "model_channels": 2048, "num_blocks": 28, "num_heads": 16, "concat_padding_mask": True,
        "crossattn_emb_channels": 1024, "pos_emb_cls": "rope3d", "use_adaln_lora": True,
        "adaln_lora_dim": 256,
    }),
}  # fmt: skip


def entry(model) -> TransformerFamily:
    (family,) = (family for family in FAMILIES if family.recognises(model))
    assert isinstance(family, TransformerFamily)
    return family


@pytest.fixture(params=REAL)
def real(request):
    """The model class at its real size, without memory for its weights."""
    kind, config = REAL[request.param]
    parts = kind(dict(config))
    parts.unet_config["dtype"] = torch.bfloat16
    parts.set_inference_dtype(torch.bfloat16, None)
    with torch.device("meta"):
        return parts.get_model({}, "", device=torch.device("meta"))


def test_every_linear_layer_is_on_exactly_one_stream(real):
    family = entry(real)
    unet = real.diffusion_model
    rules = {name: family.rules_of(name) for name in small.linears(unet)}
    assert {name: len(found) for name, found in rules.items() if len(found) != 1} == {}
    assert family.unknown(unet) is None


def test_every_weight_that_core_names_for_lora_files_is_a_known_layer(real):
    """Names of layers that the class lacks are in core's map too; norms and raw tensors are refused
    by name when a file holds them."""
    unet = real.diffusion_model
    layers = set(small.linears(unet))
    weights = real.state_dict()
    for target in comfy.lora.model_lora_keys_unet(real, {}).values():
        key = target if isinstance(target, str) else target[0]
        if key in weights and weights[key].ndim == 2 and key.endswith(".weight"):
            name = key.removeprefix("diffusion_model.").removesuffix(".weight")
            assert name in layers or "embed" in name, key


def test_all_rules_are_of_some_model():
    """A rule that names nothing is a misprint."""
    known = [family for family in FAMILIES if isinstance(family, TransformerFamily)]
    seen = {rule: False for family in known for rule in family.rules}
    for kind, config in REAL.values():
        parts = kind(dict(config))
        parts.unet_config["dtype"] = torch.bfloat16
        parts.set_inference_dtype(torch.bfloat16, None)
        with torch.device("meta"):
            model = parts.get_model({}, "", device=torch.device("meta"))
        for name, _ in model.diffusion_model.named_modules():
            for rule in entry(model).rules_of(name):
                seen[rule] = True
    assert [rule.pattern for rule, found in seen.items() if not found] == []


@pytest.fixture
def scene():
    family = small.FAMILIES["z_image"]
    model = family.make()
    return small.people(model, family, [{}], torch.ones(1, 8, 8), tokens=(20, 13))


def test_a_newer_comfyui_is_said_and_gets_exact(scene, monkeypatch):
    assert prepare(scene).method is Method.FUSED
    unet = scene.model.model.diffusion_model
    with monkeypatch.context() as patch:
        patch.setattr(type(unet), "embed_cap", lambda self, feats, moved=0: None)
        ready = prepare(scene)
    assert ready.method is Method.EXACT
    assert "This ComfyUI is newer than Ensemble knows here (NextDiT.embed_cap)" in ready.notes[0]
    unet.layers[0].new_projection = torch.nn.Linear(4, 4)
    ready = prepare(scene)
    assert ready.method is Method.EXACT and "layers.0.new_projection" in ready.notes[0]


def test_a_subclass_of_a_known_model_gets_exact(scene):
    inner = scene.model.model

    class Other(type(inner)):
        pass

    inner.__class__ = Other
    ready = prepare(dataclasses.replace(scene))
    assert ready.method is Method.EXACT and "Other is not a model that" in ready.notes[0]
