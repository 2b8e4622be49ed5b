"""The node's function: every kind of input, good and bad."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.pose.control import (
    Inputs,
    Nobody,
    NoPicture,
    Options,
    Source,
    pose_control,
)
from ensemble_portraits.ensemble.pose.default import default_pose
from ensemble_portraits.ensemble.pose.draw import draw
from ensemble_portraits.ensemble.pose.people import Match, Mismatch
from ensemble_portraits.ensemble.pose.preview import preview
from ensemble_portraits.ensemble.pose.size import canvas_size
from ensemble_portraits.ensemble.pose.skeleton import Pose, Skeleton, write_pose_keypoint
from ensemble_portraits.ensemble.regions.people import Shape

TWO = default_pose(2, 768, 512)[0]
MAP = draw(TWO)


def nobody(picture: np.ndarray) -> Pose:
    return Pose(picture.shape[1], picture.shape[0], ())


def control(image=None, keypoints=None, text=None, masks=None, estimate=nobody, **options):
    inputs = Inputs(image=image, keypoints=keypoints, people=text, person_masks=masks)
    return pose_control(replace(Options(), **options), inputs, estimate)


def test_ready_skeleton_passes_through_with_its_people():
    found = control(MAP)
    assert (found.pose_map == MAP).all()
    assert found.people == 2 and found.regions.shape == (2, 512, 768)
    for k, person in enumerate(TWO.people):
        x, y = person.body[1, :2].astype(int)
        assert found.regions[k, y, x] > 0.9
    assert "person 1: body 1" in found.report


def test_skeleton_on_another_canvas():
    found = control(MAP, width=512, height=512)
    assert found.pose_map.shape == (512, 512, 3) and (found.pose.width, found.pose.height) == (
        512,
        512,
    )
    for person, read in zip(TWO.fitted(512, 512).people, found.pose.people, strict=True):
        assert np.abs(person.body[:, :2] - read.body[:, :2]).max() <= 1.5
    # Map and keypoints must still lie over each other.
    x, y = found.pose.people[0].body[2, :2].astype(int)
    assert found.pose_map[y, x].max() > 100


def test_keypoints_win_over_the_image_which_gives_the_size():
    photo = np.zeros((300, 400, 3), np.uint8)
    found = control(photo, write_pose_keypoint([TWO]))
    assert found.people == 2 and found.pose_map.shape == (512, 680, 3)


def test_photo_goes_to_the_estimator_and_unsure_joints_go_missing():
    body = TWO.people[0].body.copy()
    body[4, 2] = 0.1
    pose = TWO.with_people([Skeleton.of(body), TWO.people[1]])
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (512, 768, 3), dtype=np.uint8)
    found = control(photo, estimate=lambda picture: pose)
    assert not found.pose.people[0].seen[4] and found.pose.people[0].seen[3]
    assert control(photo, estimate=lambda picture: pose, min_score=0.05).pose.people[0].seen[4]


def test_source_overrides_the_recogniser():
    assert control(MAP, source=Source.PHOTO, estimate=lambda p: TWO).report.startswith(
        "2 bodies in the photo"
    )
    photo = np.full((64, 64, 3), 120, np.uint8)
    with pytest.raises(ValueError, match="No person was found in the skeleton"):
        control(photo, source=Source.SKELETON)


def test_nothing_gives_crossed_arms_for_everybody_in_the_text():
    found = control(text=3, width=768, height=512)
    assert found.people == 3 and "crossed arms" in found.report
    assert (found.pose_map == draw(default_pose(3, 768, 512)[0])).all()
    turned = control(text=3, width=768, height=512, order="3,2,1")
    assert torch.equal(turned.regions, found.regions.flip(0))


def test_no_pose_on_request():
    found = control(text=2, no_picture=NoPicture.NO_POSE, width=64, height=64)
    assert not found.pose_map.any() and found.pose.people == ()
    assert torch.allclose(found.regions.sum(0), torch.ones(64, 64), atol=1e-5)
    assert found.regions[0, 32, 8] == 1 and found.regions[1, 32, 56] == 1


def test_nobody_in_the_picture():
    photo = np.full((256, 256, 3), 90, np.uint8)
    with pytest.raises(ValueError, match="No person was found in the photo"):
        control(photo)
    assert control(photo, on_nobody=Nobody.DEFAULT, text=2).people == 2
    assert control(photo, on_nobody=Nobody.DEFAULT).people == 1


def test_numbers_that_differ():
    with pytest.raises(ValueError, match="shows 2 people and the prompt has 3"):
        control(MAP, text=3)
    with pytest.raises(ValueError, match="shows 2 people and the prompt has 1"):
        control(MAP, people=1, text=2)
    cropped = control(MAP, text=1, on_mismatch=Mismatch.CROP)
    assert cropped.people == 1 and len(cropped.pose.people) == 1
    assert "redrawn" in cropped.report
    assert (cropped.pose_map == draw(cropped.pose)).all()
    repeated = control(MAP, text=3, on_mismatch=Mismatch.REPEAT)
    assert repeated.people == 3 and torch.equal(repeated.regions[0], repeated.regions[2])
    assert control(MAP, text=3, on_mismatch=Mismatch.CROP).people == 2


def test_words_need_masks_and_follow_them():
    with pytest.raises(ValueError, match="person_masks"):
        control(MAP, match=Match.BY_WORDS)
    masks = torch.zeros(2, 32, 48)
    masks[0, :, 24:], masks[1, :, :24] = 1, 1
    found = control(MAP, match=Match.BY_WORDS, masks=masks, text=2)
    plain = control(MAP)
    assert torch.equal(found.regions, plain.regions.flip(0))
    with pytest.raises(ValueError, match="2 masks were given for 3 people"):
        control(MAP, match=Match.BY_WORDS, masks=masks, text=3)


@pytest.mark.parametrize("shape", list(Shape))
def test_shapes(shape):
    found = control(MAP, shape=shape)
    assert found.regions.sum(0).max() <= 1 + 1e-5


def test_where_nothing_tells_how_many_it_is_one():
    assert control().people == 1


def test_one_pixel_and_huge_pictures():
    with pytest.raises(ValueError, match="1x1"):
        control(np.zeros((1, 1, 3), np.uint8))
    wide = np.zeros((64, 20000, 3), np.uint8)
    with pytest.raises(ValueError, match="20000x64"):
        control(wide)
    wide[:, :768] = MAP[200:264]
    # With a size of one's own it is read like any other: some joints, nobody whole.
    with pytest.raises(ValueError, match="No person"):
        control(wide, width=512, height=512, source=Source.SKELETON)


def test_keypoints_that_are_not_numbers():
    value = write_pose_keypoint([TWO])
    value[0]["people"][0]["pose_keypoints_2d"] = [float("nan")] * 54
    assert control(keypoints=value).people == 1
    value[0]["people"][1]["pose_keypoints_2d"] = [float("nan")] * 54
    with pytest.raises(ValueError, match="No person was found in the keypoints"):
        control(keypoints=value)


def test_a_skeleton_with_one_joint():
    body = np.zeros((18, 3))
    body[0] = (100, 100, 1)
    lone = Pose(256, 256, (Skeleton.of(body),))
    with pytest.raises(ValueError, match="No person"):
        control(keypoints=write_pose_keypoint([lone]))
    with pytest.raises(ValueError, match="No person"):
        control(draw(lone), source=Source.SKELETON)


@pytest.mark.parametrize(
    ("width", "height", "given", "size"),
    [
        (0, 0, None, (512, 512)),
        (0, 0, (3456, 4320), (512, 640)),
        (0, 0, (3024, 4032), (512, 680)),
        (768, 0, (400, 200), (768, 384)),
        (0, 768, None, (768, 768)),
        (767, 513, (9, 9), (768, 512)),
    ],
)
def test_sizes(width, height, given, size):
    assert canvas_size(width, height, given) == size


def test_preview_shows_regions_and_numbers():
    found = control(MAP)
    picture = preview(found.pose_map, found.regions)
    assert picture.shape == (512, 768, 3)
    x, y = TWO.people[0].body[1, :2].astype(int)
    assert (picture[y + 40, x - 30] != picture[y + 40, x - 30 + 384]).any()
    assert preview(np.zeros((64, 4000, 3), np.uint8), torch.zeros(0, 64, 4000)).shape[1] == 768
