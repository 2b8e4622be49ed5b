"""LoRA files as the trainers of each family name their layers, against core's own merging."""

import dataclasses
import re

import comfy.lora
import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.families import family_of
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-5
# family -> how a name begins: kohya and musubi-tuner, ai-toolkit, diffusers, OneTrainer,
# SimpleTuner, DiffSynth. Lumina 2 has none of diffusers' own: core cuts its fused weights as if
# they had as many key as query heads.
FORMS = {
    "z_image": ["lora_unet_", "diffusion_model.", "transformer.", "lycoris_", "layers."],
    "lumina2": ["lora_unet_", "diffusion_model.layers.0.feed_forward"],
    "krea2": ["lora_unet_", "diffusion_model.", "transformer.", "lycoris_", "text_fusion."],
    "flux": ["lora_unet_", "diffusion_model.", "transformer.", "lora_transformer_", "lycoris_",
             "transformer_blocks."],
    "flux2": ["lora_unet_", "diffusion_model.", "transformer.", "lora_transformer_", "lycoris_"],
    "chroma": ["lora_unet_", "diffusion_model.", "transformer.", "lora_transformer_"],
    "qwen_image": ["lora_unet_", "diffusion_model.", "transformer.", "lycoris_",
                   "transformer_blocks."],
    "anima": ["lora_unet_", "diffusion_model."],
    "sd3": ["lora_unet_", "diffusion_model.", "transformer.", "base_model.model.",
            "lora_transformer_", "lycoris_"],
}  # fmt: skip
CASES = [(family, form) for family, forms in FORMS.items() for form in forms]
PEFT = ("lora_A.weight", "lora_B.weight")
KOHYA = ("lora_down.weight", "lora_up.weight")


@pytest.fixture(scope="module")
def models():
    return {name: small.FAMILIES[name].make() for name in FORMS}


def named(model, start: str, rank: int = 2) -> dict:
    """A file of every name with this beginning that core's map has for a linear weight."""
    generator = torch.Generator().manual_seed(7)
    weights = model.model.state_dict()
    layers = set(small.linears(model.model.diffusion_model))
    down, up = PEFT if "." in start else KOHYA
    file = {}
    for name, target in comfy.lora.model_lora_keys_unet(model.model, {}).items():
        key, offset = (target, None) if isinstance(target, str) else target[:2]
        layer = key.removeprefix("diffusion_model.").removesuffix(".weight")
        if not name.startswith(start) or key not in weights or layer not in layers:
            continue
        if re.match(family_of(model).unreached, layer):
            continue
        rows, columns = weights[key].shape
        rows = rows if offset is None else offset[2]
        factor = torch.randn(rank, columns, generator=generator)
        file[f"{name}.{down}"] = 0.3 * factor / columns**0.5
        file[f"{name}.{up}"] = torch.randn(rows, rank, generator=generator)
        if (down, up) == KOHYA:
            file[f"{name}.alpha"] = torch.tensor(rank / 2)
    return file


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize(("name", "form"), CASES)
def test_a_file_of_this_form_is_cores_merged_lora(models, name, form, method):
    family, model = small.FAMILIES[name], models[name]
    state = named(model, form)
    assert len(state) >= 6
    people = small.people(
        model, family, [state], torch.ones(1, 8, 8), base_strength=0.0, method=method
    )
    person = people.people[0]
    reference = small.sample(
        small.merged(model, state), person.positive.conditioning, person.positive.conditioning,
        family=family, size=(8, 8), steps=1,
    )  # fmt: skip
    out = small.sample(*build(people)[:3], family=family, size=(8, 8), steps=1)
    assert tiny.relative(out, reference) < TOLERANCE


@pytest.mark.parametrize("key", [
    "diffusion_model.x_pad_token.diff", "diffusion_model.layers.0.attention.q_norm.diff",
])  # fmt: skip
def test_what_one_person_cannot_have_is_refused_by_name(models, key):
    model = models["z_image"]
    name = key.removesuffix(".diff")
    weights = model.model.state_dict()
    weight = weights.get(name, weights.get(f"{name}.weight"))
    people = small.people(
        model, small.FAMILIES["z_image"], [{key: torch.ones_like(weight)}], torch.ones(1, 8, 8)
    )
    with pytest.raises(ValueError, match=r"(x_pad_token|q_norm).*MultiLoraLoader"):
        build(people)
    exact = dataclasses.replace(people, method=Method.EXACT)
    with pytest.raises(ValueError, match=r"(x_pad_token|q_norm).*MultiLoraLoader"):
        build(exact)
