"""A LoRA on a vector that modulates tokens acts where its person is, on their text alone where texts are
modulated, and nowhere else."""

import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build

SIZE = (16, 24)
# Family, layer of the LoRA, the layer that is given what it modulates.
PICTURE = [
    ("sd3", r"^joint_blocks\.0\.x_block\.adaLN_modulation", "joint_blocks.0.x_block.attn.qkv"),
    ("sd3", r"^final_layer\.adaLN_modulation", "final_layer.linear"),
    ("qwen_image", r"^transformer_blocks\.0\.img_mod", "transformer_blocks.0.attn.to_q"),
    ("flux", r"^double_blocks\.0\.img_mod", "double_blocks.0.img_attn.qkv"),
    ("flux", r"^final_layer\.adaLN_modulation", "final_layer.linear"),
    ("flux2", r"^double_stream_modulation_img", "double_blocks.0.img_attn.qkv"),
    ("z_image", r"^noise_refiner\.0\.adaLN_modulation", "noise_refiner.0.attention.qkv"),
    ("anima", r"^blocks\.0\.adaln_modulation_self_attn", "blocks.0.self_attn.q_proj"),
    ("anima", r"^final_layer\.adaln_modulation", "final_layer.linear"),
]
TEXT = [
    ("sd3", r"^joint_blocks\.0\.context_block\.adaLN_modulation",
     "joint_blocks.0.context_block.attn.qkv"),
    ("qwen_image", r"^transformer_blocks\.0\.txt_mod", "transformer_blocks.0.attn.add_q_proj"),
    ("flux", r"^double_blocks\.0\.txt_mod", "double_blocks.0.txt_attn.qkv"),
]  # fmt: skip
BOTH = [
    ("z_image", r"^layers\.0\.adaLN_modulation", "layers.0.attention.qkv"),
    ("krea2", r"^tproj", "blocks.0.attn.wq"),
    ("flux", r"^single_blocks\.0\.modulation", "single_blocks.0.linear1"),
]
ALIKE = 1e-5


def given(name: str, pattern: str, layer: str) -> list[torch.Tensor]:
    """What the layer is given `[T,C]` when the LoRA is nobody's, the second person's, everybody's."""
    family = small.FAMILIES[name]
    model = family.make()
    state = small.lora(model, 1, layers=pattern)
    assert state
    seen = []
    module = model.model.diffusion_model.get_submodule(layer)
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0][0].clone()))
    try:
        for states in ([{}, {}], [{}, state], [state, state]):
            people = small.people(model, family, states, small.halves(SIZE), base_strength=0.0)
            small.sample(*build(people)[:3], family=family, size=SIZE, steps=1)
    finally:
        handle.remove()
    nobody, second, everybody = (x.reshape(-1, x.shape[-1]) for x in seen)
    assert tiny.relative(nobody, everybody) > 0.01
    return [nobody, second, everybody]


def pictures(tokens: list[torch.Tensor]) -> list[torch.Tensor]:
    """The places of the picture `[rows,columns,C]`, which come last."""
    return [x[-8 * 12 :].unflatten(0, (8, 12)) for x in tokens]


@pytest.mark.parametrize(("name", "pattern", "layer"), [*PICTURE, *BOTH])
def test_each_place_has_its_own(name, pattern, layer):
    nobody, second, everybody = pictures(given(name, pattern, layer))
    assert tiny.relative(second[:, :6], nobody[:, :6]) < ALIKE
    assert tiny.relative(second[:, 6:], everybody[:, 6:]) < ALIKE


@pytest.mark.parametrize(("name", "pattern", "layer"), [*TEXT, *BOTH])
def test_each_text_has_its_own(name, pattern, layer):
    """The second person's text, behind the first's (the scene's is left out at base strength 0)."""
    nobody, second, everybody = given(name, pattern, layer)
    texts = len(nobody) - 8 * 12 if (name, pattern, layer) in BOTH else len(nobody)
    first = 32 if name == "z_image" else 13
    assert tiny.relative(second[:first], nobody[:first]) < ALIKE
    assert tiny.relative(second[first:texts], everybody[first:texts]) < ALIKE
