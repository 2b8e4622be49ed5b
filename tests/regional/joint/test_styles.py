"""Every trainer's way of writing names, on every family: all of a file is matched, and to the same
weights as core's own reading of the plainest one."""

import comfy.lora
import comfy.utils
import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.lora.adapters import match, model_key_map
from ensemble_portraits.ensemble.lora.origin import looks_made_for

MODELS = {
    **{name: family.make for name, family in small.FAMILIES.items()},
    "sd15": lambda: tiny.model(tiny.DEEP), "sdxl": lambda: tiny.model(tiny.SDXL),
}  # fmt: skip
KOHYA = ("lora_down.weight", "lora_up.weight", "alpha")
PEFT = ("lora_A.weight", "lora_B.weight", None)
STYLES = {
    "kohya, musubi": ("lora_unet_", "_", "own", KOHYA),
    "kohya, diffusers' names": ("lora_unet_", "_", "diffusers", KOHYA),
    "ai-toolkit": ("diffusion_model.", ".", "own", PEFT),
    "ai-toolkit, LoKr": ("diffusion_model.", ".", "own", ("lokr_w1", "lokr_w2", "alpha")),
    "diffusers": ("transformer.", ".", "diffusers", PEFT),
    "SimpleTuner": ("transformer.", ".", "diffusers", PEFT),
    "SimpleTuner, LyCORIS": ("lycoris_", "_", "diffusers", ("lokr_w1", "lokr_w2", "alpha")),
    "LyCORIS": ("lycoris_", "_", "own", ("lokr_w1", "lokr_w2", "alpha")),
    "LyCORIS, LoHa": ("lycoris_", "_", "diffusers",
                      ("hada_w1_b", "hada_w1_a", "alpha", "hada_w2_b", "hada_w2_a")),
    "OneTrainer": ("lora_transformer_", "_", "diffusers", (*KOHYA, "dora_scale")),
    "OneTrainer, dotted": ("transformer.", ".", "diffusers", KOHYA),
    "OneTrainer on UNets": ("lora_unet_", "_", "diffusers", (*KOHYA, "dora_scale")),
    "PEFT": ("base_model.model.", ".", "diffusers", PEFT),
    "PEFT, its own names": ("base_model.model.", ".", "own", PEFT),
    "PEFT on UNets": ("unet.", ".", "diffusers", PEFT),
    "bare": ("", ".", "diffusers", PEFT),
    "bare, its own names": ("", ".", "own", PEFT),
}  # fmt: skip
"""Beginning of a name, what joins its parts, whose names, the parts of a layer."""


@pytest.fixture(scope="module")
def models():
    made = {}

    def of(name):
        if name not in made:
            made[name] = MODELS[name]()
        return made[name]

    return of


def names_of(model, whose: str) -> dict[str, str | tuple]:
    """A trainer's plain names of the layers, and core's target of each. diffusers' names are those of
    core's converters; where a model has none of its own there, diffusers has no such model."""
    inner = model.model.diffusion_model
    own = {n: f"diffusion_model.{n}.weight" for n in small.linears(inner) if "." in n}
    if whose == "own":
        return own
    theirs = {}
    config = model.model.model_config.unet_config
    for name, to in comfy.utils.unet_to_diffusers(config).items():
        key = f"diffusion_model.{to}"
        if name.endswith(".weight") and key in own.values():
            theirs[name.removesuffix(".weight")] = key
    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    for name, target in keys.items():
        key = target if isinstance(target, str) else target[0]
        if name.startswith("transformer.") and key in own.values():
            theirs[name.removeprefix("transformer.")] = target
    return {n: t for n, t in theirs.items() if "." in n} or own


def tensors_of(model, target, parts, generator) -> dict[str, torch.Tensor]:
    """A layer's parts for the weight, or for the slice of it."""
    key, offset = (target, None) if isinstance(target, str) else target[:2]
    rows, columns = model.model.state_dict()[key].shape
    # An odd width (Krea 2's projector, of as many as the encoder has layers) has no halves.
    left = (2 - rows % 2, 2 - columns % 2)
    rows = rows if offset is None else offset[2]
    shapes = {
        "lora_down.weight": (2, columns), "lora_up.weight": (rows, 2), "alpha": (),
        "lora_A.weight": (2, columns), "lora_B.weight": (rows, 2), "dora_scale": (rows, 1),
        "lokr_w1": left, "lokr_w2": (rows // left[0], columns // left[1]),
        "hada_w1_b": (2, columns), "hada_w2_b": (2, columns),
        "hada_w1_a": (rows, 2), "hada_w2_a": (rows, 2),
    }  # fmt: skip
    return {part: torch.randn(shapes[part], generator=generator) for part in parts if part}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", MODELS)
def test_every_style_is_matched_whole(models, name, style):
    model = models(name)
    begin, join, whose, parts = STYLES[style]
    generator = torch.Generator().manual_seed(1)
    state, plain, targets = {}, {}, {}
    for index, (layer, target) in enumerate(names_of(model, whose).items()):
        targets[f"layer{index}"] = target
        for part, tensor in tensors_of(model, target, parts, generator).items():
            state[f"{begin}{layer.replace('.', join)}.{part}"] = tensor
            plain[f"layer{index}.{part}"] = tensor
    found = match(state, model_key_map(model))
    assert found.keys == state.keys() and found.total == len(state) and not found.misfits
    wanted = comfy.lora.load_lora(plain, targets)
    assert found.adapters.keys() == wanted.keys() and len(wanted) > 8
    for target, adapter in wanted.items():
        pairs = zip(found.adapters[target].weights, adapter.weights, strict=True)
        assert all(a is b or a == b for a, b in pairs), target


WIDTHS = {
    "Stable Diffusion 1.5": ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", 768),
    "SDXL": ("unet.mid_block.attentions.0.transformer_blocks.3.attn2.to_v", 2048),
    "Flux.1": ("transformer.single_transformer_blocks.3.attn.to_q", 3072),
    "Flux.2 klein 9B": ("diffusion_model.double_blocks.3.img_mlp.0", 4096),
    "Z-Image": ("diffusion_model.layers.3.attention.to_q", 3840),
    "Krea 2": ("lora_unet_blocks_3_attn_wq", 6144),
    "Qwen-Image": ("transformer.transformer_blocks.3.img_mod.1", 3072),
    "Anima": ("lora_unet_blocks_3_cross_attn_q_proj", 2048),
    "Wan": ("diffusion_model.blocks.3.self_attn.q", 5120),
    "Stable Diffusion 3": ("lora_unet_joint_blocks_3_x_block_attn_qkv", 1536),
}  # fmt: skip


@pytest.mark.parametrize("base", WIDTHS)
def test_a_file_of_another_model_is_named_by_its_keys(base):
    layer, width = WIDTHS[base]
    part = "lora_down.weight" if "lora_unet" in layer else "lora_A.weight"
    assert looks_made_for({f"{layer}.{part}": torch.zeros(4, width)}) == (base,)


def test_two_models_in_one_file_are_both_named():
    state = {
        f"{WIDTHS[base][0]}.lora_down.weight": torch.zeros(4, WIDTHS[base][1])
        for base in ("SDXL", "Z-Image")
    }
    assert set(looks_made_for(state)) == {"SDXL", "Z-Image"}
    assert looks_made_for({"something.else": torch.zeros(2)}) == ()
