"""LoRAs of the text encoders of the newer families: core's own classes without their weights, and
what a file changes in a small one of each kind."""

from types import SimpleNamespace

import comfy.lora
import comfy.ops
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from comfy.text_encoders import (
    anima,
    flux,
    krea2,
    llama,
    lumina2,
    qwen_image,
    sd3_clip,
    t5,
    z_image,
)
from ensemble_portraits.ensemble.lora.adapters import clip_key_map, match

HALF = torch.float16
ENCODERS = {
    "Flux.1": lambda: flux.flux_clip(dtype_t5=HALF),
    "Stable Diffusion 3": lambda: sd3_clip.sd3_clip(dtype_t5=HALF),
    "Qwen-Image": lambda: qwen_image.te(dtype_llama=HALF),
    "Z-Image": lambda: z_image.te(dtype_llama=HALF),
    "Lumina 2": lambda: lumina2.te(dtype_llama=HALF),
    "Krea 2": lambda: krea2.te(dtype_llama=HALF),
    "Flux.2 klein": lambda: flux.klein_te(dtype_llama=HALF),
    "Anima": lambda: anima.te(dtype_llama=HALF),
}
STYLES = {
    "core's": ("text_encoders.{encoder}.transformer.{name}", "."),
    "without the encoder": ("text_encoders.transformer.{name}", "."),
    "diffusers": ("{dotted}.{name}", "."),
    "PEFT": ("{dotted}.base_model.model.{name}", "."),
    "kohya, OneTrainer": ("lora_te{place}_{name}", "_"),
}


@pytest.fixture(scope="module")
def encoders():
    made = {}

    def of(name):
        if name not in made:
            module = ENCODERS[name]()(device=torch.device("meta"), dtype=HALF)
            made[name] = SimpleNamespace(cond_stage_model=module)
        return made[name]

    return of


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", ENCODERS)
def test_every_style_reaches_every_layer(encoders, family, style):
    clip = encoders(family)
    pattern, join = STYLES[style]
    state, order = {}, []
    for path, layer in clip.cond_stage_model.named_modules():
        encoder, inner, name = path.partition(".transformer.")
        if not inner or not isinstance(layer, torch.nn.Linear):
            continue
        order += [] if encoder in order else [encoder]
        if style == "without the encoder" and encoder.startswith("clip_"):
            continue  # core keeps CLIP's for itself
        place = order.index(encoder) + 1
        dotted = "text_encoder" if place == 1 else f"text_encoder_{place}"
        key = pattern.format(
            encoder=encoder, dotted=dotted, place=place, name=name.replace(".", join)
        )
        down = torch.zeros(2, layer.in_features, device="meta", dtype=HALF)
        up = torch.zeros(layer.out_features, 2, device="meta", dtype=HALF)
        state |= {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}
    found = match(state, clip_key_map(clip))
    assert len(state) > 200 and not found.misfits
    # Some encoders end in a projection that core names itself.
    assert len(found.keys) >= 0.99 * len(state)


@pytest.mark.parametrize("kind", ["T5", "Qwen3", "Gemma"])
def test_a_file_changes_the_encoder_as_cores_loader_does(kind):
    """The weights that a small encoder of core's class gets, by a style that core does not know."""
    operations = comfy.ops.disable_weight_init
    if kind == "T5":
        config = {"d_ff": 32, "d_kv": 8, "d_model": 16, "dense_act_fn": "gelu_pytorch_tanh",
                  "is_gated_act": True, "num_heads": 2, "num_layers": 1, "vocab_size": 8,
                  "model_type": "t5", "relative_attention_num_buckets": 4}  # fmt: skip
        inner, layer = (
            t5.T5(config, torch.float32, "cpu", operations),
            "encoder.block.0.layer.0.SelfAttention.q",
        )
    else:
        made = llama.Qwen3_4B if kind == "Qwen3" else llama.Gemma2_2B
        config = {"vocab_size": 8, "hidden_size": 16, "intermediate_size": 32,
                  "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}  # fmt: skip
        inner, layer = (
            made(config, torch.float32, "cpu", operations),
            "model.layers.0.self_attn.q_proj",
        )
    model = torch.nn.ModuleDict({"only": torch.nn.ModuleDict({"transformer": inner})})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    key = f"only.transformer.{layer}.weight"
    shape = model.state_dict()[key].shape
    parts = {"lora_A.weight": torch.randn(2, shape[1]), "lora_B.weight": torch.randn(shape[0], 2)}
    found = match(
        {f"text_encoder.{layer}.{part}": tensor for part, tensor in parts.items()},
        clip_key_map(SimpleNamespace(cond_stage_model=model)),  # type: ignore[arg-type]
    )
    plain = {f"text_encoders.only.transformer.{layer}.{part}": t for part, t in parts.items()}
    core = comfy.lora.load_lora(plain, comfy.lora.model_lora_keys_clip(model, {}))
    weights = []
    for adapters in (found.adapters, core):
        patcher = ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
        assert patcher.add_patches(adapters, 0.7) == [key]
        weights.append(patcher.patch_weight_to_device(key, return_weight=True))
    assert torch.equal(*weights) and not torch.equal(weights[0], model.state_dict()[key])
