"""What each face's row sees of ControlNets, masks and an inpainting model's canvas."""

import os
from pathlib import Path

import comfy.controlnet
import comfy.samplers
import pytest
import tiny
import torch
from ensemble_portraits.ensemble.faces.painters import PeoplePainter, PlainPainter
from redrawing import ALL, HEIGHT, WIDTH, people_of, run, targets


@pytest.fixture(scope="module")
def patcher():
    return tiny.model()


@pytest.fixture(scope="module")
def painter(patcher):
    return PeoplePainter.of(people_of(patcher)[0], None, None)


@pytest.fixture(scope="module")
def controlnet():
    models = Path(os.environ["ENSEMBLE_BASE"]) / "models" / "controlnet"
    return comfy.controlnet.load_controlnet(str(models / "small_openpose.safetensors"))


def test_each_face_sees_its_part_of_the_hint(controlnet, painter):
    hint = torch.zeros(1, 3, HEIGHT, WIDTH)
    for i, target in enumerate(ALL):
        target.crop.rect.cut(hint)[:] = (i + 1) / 4
    hint[..., 200:] = 1.0
    first = controlnet.copy().set_cond_hint(hint * 0.5, 0.3, (0.1, 0.9))
    control = controlnet.copy().set_cond_hint(hint, 0.7, (0.0, 1.0))
    control.set_previous_controlnet(first)
    lent = [[torch.zeros(1), {"control": control, "control_apply_to_uncond": True}]]
    painted = PeoplePainter.of(painter.people, lent, lent).paint(ALL, 64)
    copies = {id(side[0][1]["control"]) for side in (painted.positive, painted.negative)}
    copy = painted.positive[0][1]["control"]
    assert len(copies) == 1 and copy.strength == 0.7
    assert copy.cond_hint_original.shape == (4, 3, 64, 64)
    centre = copy.cond_hint_original[:, 0, 32, 32]
    assert (centre[1:] > centre[:-1]).all()
    assert torch.allclose(copy.previous_controlnet.cond_hint_original[:, 0, 32, 32], centre / 2)
    assert control.cond_hint_original is hint


def test_masks_of_a_plain_prompt_are_cut_and_areas_refused(patcher):
    text = tiny.text(3).conditioning
    whole = torch.rand(1, HEIGHT, WIDTH)
    masked = [[text[0][0], {"mask": whole, "concat_mask": whole}]]
    values = PlainPainter.of(patcher, masked, text).paint(ALL, 64).positive[0][1]
    assert values["mask"].shape == (4, 64, 64) and "concat_mask" not in values
    area = [[text[0][0], {"area": (8, 8, 0, 0)}]]
    with pytest.raises(ValueError, match="holds an area"):
        PlainPainter.of(patcher, area, text).paint(ALL, 64)


def test_an_inpainting_model_sees_the_crop_without_the_face(monkeypatch):
    """A UNet of nine channels, as SD1.5's inpainting checkpoints have."""
    patcher = tiny.model({**tiny.SD15, "in_channels": 9})
    patcher.model.set_inpaint()
    text = tiny.text(1).conditioning
    seen = []
    hook = patcher.model.diffusion_model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0]), with_kwargs=True
    )
    chosen = targets([None] * 4)
    run(chosen, PlainPainter.of(patcher, text, text))
    hook.remove()
    assert seen[0].shape == (8, 9, 8, 8)
    masks = seen[0][:4, 4]
    assert masks[:, 4, 4].eq(1).all() and masks[:, 0, 0].eq(0).all()
    pictures = seen[0][:4, 5:]
    assert not torch.allclose(pictures[0], pictures[1])
