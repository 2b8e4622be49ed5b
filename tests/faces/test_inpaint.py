"""The whole node without a server: what changes, seams, colours, detectors, and bad input."""

import logging
from dataclasses import replace

import pytest
import scenes
import tiny
import torch
from ensemble_portraits.ensemble.faces import inpaint
from ensemble_portraits.ensemble.faces.boxes import Face
from ensemble_portraits.ensemble.faces.choices import Source, Unmatched
from ensemble_portraits.ensemble.faces.crop import mask
from ensemble_portraits.ensemble.faces.detect import Sources
from ensemble_portraits.ensemble.faces.inpaint import (
    FaceSettings,
    face_inpaint,
    look,
    numbered_faces,
)
from ensemble_portraits.ensemble.faces.landmarks import FaceInputs
from ensemble_portraits.ensemble.faces.match import face_of_head
from ensemble_portraits.ensemble.faces.painters import PeoplePainter, PlainPainter
from ensemble_portraits.ensemble.faces.redraw import RedrawSettings, crop_size
from ensemble_portraits.ensemble.faces.swap import Repaint, redraw_faces
from ensemble_portraits.ensemble.regional.sampling import SamplingSettings
from ensemble_portraits.ensemble.regions.bounding_box import BoundingBox
from ensemble_portraits.ensemble.regions.rect import Rect

VAE = scenes.AveragingVae(shift=0.02)
QUICK = FaceSettings(
    redraw=RedrawSettings(
        sampling=SamplingSettings(seed=3, steps=2, cfg=1.0, scheduler="normal", denoise=0.6),
        size=64,
    ),
    source=Source.MASK,
)


def sampled(**changes) -> FaceSettings:
    sampling = replace(QUICK.redraw.sampling, **changes)
    return replace(QUICK, redraw=replace(QUICK.redraw, sampling=sampling))


@pytest.fixture(scope="module")
def patcher():
    return tiny.model()


@pytest.fixture(scope="module")
def painter(patcher):
    text = tiny.text(1).conditioning
    return PlainPainter.of(patcher, text, text)


def picture(count: int = 1, height: int = 160, width: int = 240, channels: int = 3):
    generator = torch.Generator().manual_seed(height + width)
    return torch.rand((count, height, width, channels), generator=generator)


def spots(faces: list[Face], height: int = 160, width: int = 240) -> torch.Tensor:
    found = torch.zeros(1, height, width)
    for f in faces:
        f.box.cut(found)[:] = 1
    return found


PAIR = [Face.at(20, 30, 60, 80), Face.at(150, 60, 190, 110)]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_only_mask_pixels_change(painter, channels):
    image = picture(2, channels=channels)
    before = image.clone()
    done = face_inpaint(image, VAE, painter, Sources(mask=spots(PAIR)), QUICK)
    kept = done.mask == 0
    assert torch.equal(image, before) and done.image.shape == image.shape
    assert torch.equal(done.image[kept], image[kept])
    assert 0.05 < float((~kept).float().mean()) < 0.4
    inside = done.mask > 0.99
    assert (done.image != image).any(-1)[inside].float().mean() > 0.95
    if channels == 4:
        assert torch.equal(done.image[..., 3], image[..., 3])
    assert [len(boxes) for boxes in done.boxes] == [2, 2]
    assert done.boxes[0][0] == {
        "x": 20, "y": 30, "width": 40, "height": 50, "label": "face", "score": 1.0,
    }  # fmt: skip


def test_pictures_of_a_batch_are_as_they_are_alone(painter):
    """One with two faces, one with none, one with one."""
    images = picture(3)
    masks = torch.cat([spots(PAIR), spots([]), spots(PAIR[:1])])
    together = face_inpaint(images, VAE, painter, Sources(mask=masks), QUICK)
    assert [len(boxes) for boxes in together.boxes] == [2, 0, 1]
    assert torch.equal(together.image[1], images[1])
    for i in (0, 2):
        one = slice(i, i + 1)
        alone = face_inpaint(images[one], VAE, painter, Sources(mask=masks[one]), QUICK)
        assert torch.allclose(alone.image[0], together.image[i], atol=1e-4)
        assert alone.seen[0] == together.seen[i]


def test_people_are_told_apart_and_strangers_left(patcher):
    states = [tiny.lora(patcher, 1), tiny.lora(patcher, 2)]
    people = tiny.people(patcher, states, tiny.columns(2))
    heads = (Rect.fractions(0.6, 0.3, 0.82, 0.7), Rect.fractions(0.05, 0.1, 0.3, 0.55))
    members = tuple(replace(p, head=h) for p, h in zip(people.people, heads, strict=True))
    people = replace(people, people=members)
    stranger = Face.at(100, 10, 120, 34)
    image, sources = picture(), Sources(mask=spots([*PAIR, stranger]), people=people)
    painter = PeoplePainter.of(people, None, None)
    left = replace(QUICK, unmatched=Unmatched.LEAVE)
    done = face_inpaint(image, VAE, painter, sources, left)
    assert [b["label"] for b in done.boxes[0]] == ["person 2", "left alone", "person 1"]
    assert torch.equal(done.image[:, 12:32, 104:116], image[:, 12:32, 104:116])
    common = face_inpaint(image, VAE, painter, sources, QUICK)
    assert [b["label"] for b in common.boxes[0]] == ["person 2", "face", "person 1"]
    assert not torch.equal(common.image[:, 12:32, 104:116], image[:, 12:32, 104:116])
    own = (slice(None), slice(60, 110), slice(150, 190))
    assert torch.allclose(common.image[own], done.image[own], atol=1e-4)


def test_swapping_by_redraw_leaves_strangers(patcher):
    people = tiny.people(patcher, [tiny.lora(patcher, 1)], tiny.columns(1))
    head = Rect.fractions(0.05, 0.1, 0.3, 0.55)
    people = replace(people, people=(replace(people.people[0], head=head),))
    boxes = [BoundingBox(face.box).as_core() for face in PAIR]
    repaint = Repaint(vae=VAE, painter=PeoplePainter.of(people, None, None), settings=QUICK.redraw)
    image = picture(channels=4)
    whole, half = (
        redraw_faces(image, FaceInputs(boxes=boxes, people=people), repaint, strength)
        for strength in (1.0, 0.5)
    )
    assert torch.equal(whole[:, :, 130:], image[:, :, 130:])
    assert not torch.allclose(whole[:, 40:70, 30:50], image[:, 40:70, 30:50], atol=1e-2)
    assert torch.allclose(half, (whole + image) / 2, atol=1e-6)


def test_denoise_zero_only_looks(painter):
    only = sampled(denoise=0.0)
    image = picture()
    done = face_inpaint(image, VAE, painter, Sources(mask=spots(PAIR)), only)
    assert torch.equal(done.image, image) and not done.mask.any() and len(done.boxes[0]) == 2
    assert not torch.equal(numbered_faces(image, done.seen), image)


def test_the_node_gives_the_model_that_room(painter, monkeypatch):
    seen = []

    def spy(pixels, masks, targets, *_):
        seen.extend(zip(masks, targets, strict=True))
        return pixels

    monkeypatch.setattr(inpaint, "redraw", spy)
    face_inpaint(picture(), VAE, painter, Sources(mask=spots(PAIR)), QUICK)
    assert len(seen) == 2
    for free, target in seen:
        taken = mask(target.face.box, target.crop, QUICK.redraw.oval, len(free))
        assert free[taken > 0.5].min() > 0.95 and (free >= taken).all()


def test_crop_sizes():
    sd15, sdxl = tiny.model(), tiny.model(tiny.SDXL)
    assert (crop_size(sd15, 0, 8), crop_size(sdxl, 0, 8), crop_size(sd15, 100, 16)) == (
        512, 1024, 96,
    )  # fmt: skip


# Bad input


def test_no_face_changes_nothing(painter, caplog):
    image = picture()
    with caplog.at_level(logging.WARNING):
        done = face_inpaint(image, VAE, painter, Sources(mask=spots([])), QUICK)
    assert torch.equal(done.image, image) and not done.mask.any() and done.boxes == [[]]
    assert "no face to redraw" in caplog.text


def test_of_too_many_faces_the_largest_are_redrawn(painter, caplog):
    faces = [Face.at(12 * i, 12 * j, 12 * i + 9, 12 * j + 9) for i in range(20) for j in range(10)]
    big = Face.at(100, 125, 140, 155)
    with caplog.at_level(logging.WARNING):
        done = face_inpaint(
            picture(), VAE, painter, Sources(mask=spots([*faces, big])), replace(QUICK, max_faces=1)
        )
    assert len(done.boxes[0]) == 201 and "201 faces, of which the 1 largest" in caplog.text
    redrawn = [b for b in done.boxes[0] if b["label"] == "face"]
    assert [(b["x"], b["y"]) for b in redrawn] == [(100, 125)]
    assert not done.mask[:, :100].any()


def test_somebodys_small_face_comes_before_a_large_stranger(patcher):
    people = tiny.people(patcher, [{}], tiny.columns(1))
    head = Rect.fractions(0.05, 0.1, 0.2, 0.4)
    people = replace(people, people=(replace(people.people[0], head=head),))
    small = face_of_head(head, 192, 160)
    seen = look([small, Face.at(90, 40, 170, 130)], people, replace(QUICK, max_faces=1), 192, 160)
    assert seen.owners == (0, None) and seen.redrawn == (True, False)


def test_a_face_at_the_border_and_a_picture_smaller_than_a_crop(painter):
    image = picture(1, 40, 64)
    done = face_inpaint(
        image, VAE, painter, Sources(mask=spots([Face.at(0, 0, 30, 38)], 40, 64)), QUICK
    )
    assert done.image.shape == image.shape and done.mask[0, 0, 0] >= 0 and done.mask.max() == 1
    assert torch.equal(done.image[done.mask == 0], image[done.mask == 0])


def test_no_picture_is_said(painter):
    with pytest.raises(ValueError, match="image holds no picture"):
        face_inpaint(picture(0), VAE, painter, Sources(mask=spots(PAIR)), QUICK)


def test_a_coupled_sampler_is_refused_before_looking(painter):
    coupled = sampled(sampler="dpm_adaptive")
    with pytest.raises(ValueError, match="dpm_adaptive cannot redraw several faces"):
        face_inpaint(picture(), VAE, painter, Sources(), coupled)
