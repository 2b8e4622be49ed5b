"""What people cannot share on DiTs is refused, by its name and with the way out."""

import pytest
import small
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.joint.attention import UnexpectedAttentionError

SIZE = (8, 12)


@pytest.fixture
def krea2():
    return small.FAMILIES["krea2"]


def scene(family):
    return small.people(family.make(), family, [{}, {}], small.halves(SIZE, 0.2))


def entry_of(people, change) -> tuple:
    patched = build(people)
    positive = [[context, change(dict(values))] for context, values in patched.positive]
    return patched.model, positive, patched.negative


@pytest.mark.parametrize(("name", "key", "value", "message"), [
    ("flux", "reference_latents", [torch.zeros(1, 16, 8, 12)], "reference pictures"),
    ("z_image", "reference_latents", [torch.zeros(1, 16, 8, 12)], "reference pictures"),
    ("krea2", "reference_latents", [torch.zeros(1, 16, 1, 8, 12)], "reference pictures"),
    ("qwen_image", "attention_mask", torch.ones(1, 20), "padded texts"),
])  # fmt: skip
def test_what_people_cannot_share_is_refused_by_name(name, key, value, message):
    family = small.FAMILIES[name]
    changed = entry_of(scene(family), lambda values: {**values, key: value})
    with pytest.raises(ValueError, match=rf"{message}.*method = exact"):
        small.sample(*changed, family=family, size=SIZE)


def test_dropped_texts_are_noticed(krea2):
    model, positive, negative = build(scene(krea2))[:3]
    with pytest.raises(ValueError, match="dropped the text of person 1, 2"):
        small.sample(model, positive[:1], negative, family=krea2, size=SIZE)


def test_frames_are_refused(krea2):
    with pytest.raises(ValueError, match="holds 2 frames"):
        small.sample(
            *build(scene(krea2))[:3], family=krea2, size=SIZE, latent=torch.zeros(1, 16, 2, *SIZE)
        )


def test_a_block_that_others_replace_is_noticed():
    """Skipped layers (SLG) leave a block out: people's texts would be missing there."""
    family = small.FAMILIES["flux"]
    patched = build(scene(family))
    patched.model.set_model_patch_replace(lambda args, _: args, "dit", "double_block", 0)
    with pytest.raises(UnexpectedAttentionError, match=r"3 of 4 blocks.*method = exact"):
        small.sample(*patched[:3], family=family, size=SIZE)


def test_a_mask_of_others_is_noticed():
    family = small.FAMILIES["flux"]
    patched = build(scene(family))

    def mask(q, k, v, pe=None, attn_mask=None, extra_options=None):
        return {"attn_mask": q.new_zeros(q.shape[2], q.shape[2])}

    patched.model.set_model_attn1_patch(mask)
    with pytest.raises(UnexpectedAttentionError, match=r"a mask.*method = exact"):
        small.sample(*patched[:3], family=family, size=SIZE)
