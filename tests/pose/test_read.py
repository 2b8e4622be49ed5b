"""Drawn skeletons read back."""

from io import BytesIO

import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.default import default_pose
from ensemble_portraits.ensemble.pose.draw import Style, draw
from ensemble_portraits.ensemble.pose.read import read, recognise
from ensemble_portraits.ensemble.pose.skeleton import Pose, Skeleton
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from .scenes import discs, doubles, scene

SEED = st.integers(0, 2**32 - 1)


def jpeg(image: np.ndarray, quality: int = 90) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file).convert("RGB"))


def compare(pose: Pose, got: Pose, pixels: int, sure: float, missing: float) -> None:
    """Every joint visible to at least `sure` is there within `pixels`; every joint that is there is
    one that shows its colour to at least `missing`."""
    painted = discs(pose)
    read_joints = [
        (joint, *person.body[joint, :2])
        for person in got.people
        for joint in np.flatnonzero(person.seen)
    ]

    def near(disc, joint, x, y) -> bool:
        return joint == disc.joint and max(abs(x - disc.x), abs(y - disc.y)) <= pixels

    for disc in painted:
        if disc.visible >= sure:
            assert any(near(disc, *joint) for joint in read_joints), disc
    for joint in read_joints:
        assert max((d.shown for d in painted if near(d, *joint)), default=-1) >= missing, joint


def people_of(pose: Pose, got: Pose, pixels: int) -> list[set[int]]:
    """For each person read: the painted people whose joints it holds."""
    painted = discs(pose)
    return [
        {
            disc.person
            for disc in painted
            if person.seen[disc.joint]
            and np.abs(person.body[disc.joint, :2] - (disc.x, disc.y)).max() <= pixels
        }
        for person in got.people
    ]


@settings(max_examples=20)
@given(SEED, st.integers(1, 6), st.integers(512, 1000), st.floats(0.7, 1.5))
@example(6274, 3, 512, 1.4375)  # two hips, a disc's radius apart
def test_every_visible_joint_within_a_pixel_and_no_other(seed, people, side, ratio):
    pose = scene(
        np.random.default_rng(seed), side, max(512, int(side * ratio)), people, apart=False
    )
    compare(pose, read(draw(pose)), pixels=1, sure=0.6, missing=0.6 - 1e-9)


def test_joints_of_two_people_that_lie_over_each_other():
    """Of one colour each: all that is seen is read. Where little of one is left beside the other,
    its place may be a pixel off more than one can tell, in a few of a thousand."""
    given = invented = 0
    for seed in range(12):
        pose = doubles(np.random.default_rng(seed), 640, 640)
        got, painted = read(draw(pose)), discs(pose)
        compare(pose, got, pixels=1, sure=0.6, missing=-1)
        for person in got.people:
            for joint in np.flatnonzero(person.seen):
                off = [
                    np.abs(person.body[joint, :2] - (d.x, d.y)).max()
                    for d in painted
                    if d.joint == joint and d.shown >= 0.6
                ]
                given += 1
                invented += min(off, default=99) > 1
    assert given > 300 and invented <= 0.005 * given


@pytest.mark.parametrize("radius", [4, 16])
@pytest.mark.parametrize("apart", [2, 3, 5, 8, 9, 14])
def test_neighbours_are_not_taken_for_one_between_them(radius, apart):
    """Two discs that melt into one spot, in which one between them would have room as well."""
    body = np.zeros((2, 18, 3))
    body[:, 0] = [(100, 100, 1), (100 + apart, 100, 1)]
    body[0, 4] = (300, 300, 1)  # it shows how big a disc is
    side = 128 * radius
    got = read(draw(Pose(side, side, tuple(map(Skeleton.of, body)))))
    assert sorted(p.body[0, 0] for p in got.people if p.seen[0]) == [100, 100 + apart]


@pytest.mark.parametrize("size", [(2048, 2048), (2048, 1152)])
def test_big_maps(size):
    pose = scene(np.random.default_rng(size[1]), *size, 6, apart=False)
    compare(pose, read(draw(pose)), pixels=1, sure=0.6, missing=0.6 - 1e-9)


@settings(max_examples=15)
@given(SEED, st.integers(1, 6), st.integers(512, 900))
@example(4, 6, 512)
def test_people_side_by_side_are_told_apart(seed, people, side):
    pose = scene(np.random.default_rng(seed), int(side * 1.5), side, people, apart=True)
    got = read(draw(pose))
    owners = people_of(pose, got, 1)
    assert all(len(owner) == 1 for owner in owners)
    whole = [o for o, p in zip(owners, got.people, strict=True) if p.seen.sum() >= 3]
    assert sorted(k for o in whole for k in o) == list(range(people))


def test_after_jpeg_within_two_pixels():
    """Crowds, people over each other: JPEG 90 mixes the colours of what touches, so one of a
    thousand may be lost and three may come of colours that meet."""
    wanted = lost = given = invented = 0
    for seed in range(14):
        rng = np.random.default_rng(seed)
        pose = scene(rng, 512 + 40 * seed, 512 + 25 * seed, 1 + seed % 6, apart=False)
        painted, got = discs(pose), read(jpeg(draw(pose)))
        for person in got.people:
            for joint in np.flatnonzero(person.seen):
                off = [
                    np.abs(person.body[joint, :2] - (d.x, d.y)).max()
                    for d in painted
                    if d.joint == joint and d.visible > 0.25
                ]
                given += 1
                x, y = person.body[joint, :2]
                inside = 1 < x < pose.width - 2 and 1 < y < pose.height - 2
                invented += inside and min(off, default=99) > 2
        for disc in painted:
            if disc.visible >= 0.6:
                wanted += 1
                lost += not any(
                    p.seen[disc.joint]
                    and np.abs(p.body[disc.joint, :2] - (disc.x, disc.y)).max() <= 2
                    for p in got.people
                )
    assert wanted > 600
    assert lost <= 0.001 * wanted
    assert invented <= 0.003 * given


@settings(max_examples=15)
@given(SEED, st.integers(1, 4), st.integers(512, 900))
def test_people_side_by_side_after_jpeg(seed, people, side):
    pose = scene(np.random.default_rng(seed), int(side * 1.5), side, people, apart=True)
    got = read(jpeg(draw(pose)))
    for disc in discs(pose):
        if disc.visible >= 0.7:
            assert any(
                p.seen[disc.joint] and np.abs(p.body[disc.joint, :2] - (disc.x, disc.y)).max() <= 2
                for p in got.people
            ), disc
    assert all(len(owner) <= 1 for owner in people_of(pose, got, 2))


@pytest.mark.parametrize("factor", [0.75, 1.5, 2.0])
@pytest.mark.parametrize("filter", [Image.Resampling.NEAREST, Image.Resampling.LANCZOS])
def test_resized_maps(factor, filter):
    pose = scene(np.random.default_rng(5), 768, 768, 3, apart=True)
    side = int(768 * factor)
    small = np.asarray(Image.fromarray(draw(pose)).resize((side, side), filter))
    got = read(small)
    big = got.fitted(768, 768)
    compare(pose, big, pixels=max(2, int(2 / factor)), sure=0.95, missing=0.3)
    assert all(len(owner) <= 1 for owner in people_of(pose, big, 3))


def test_xinsir_style_is_read_too():
    pose, _ = default_pose(3, 1216, 832)
    got = read(draw(pose, Style.XINSIR))
    assert sorted(p.seen.sum() for p in got.people) == sorted(
        sum(d.visible >= 0.6 for d in discs(pose) if d.person == k) for k in range(3)
    )


def test_hand_dots_are_not_knees():
    body = np.c_[np.linspace(60, 200, 18), np.linspace(60, 300, 18), np.ones(18)]
    body[[9, 10, 12, 13]] = 0
    hand = np.c_[np.linspace(320, 460, 21), np.linspace(100, 400, 21), np.ones(21)]
    got = read(draw(Pose(512, 512, (Skeleton.of(body, left_hand=hand),))))
    person = max(got.people, key=lambda p: p.seen.sum())
    assert not person.seen[12]


def test_default_pose_is_recognised_and_photos_are_not():
    from skimage import data

    assert recognise(draw(default_pose(2, 768, 512)[0]))
    assert recognise(jpeg(draw(default_pose(2, 768, 512)[0])))
    for photo in (data.astronaut(), data.coffee(), data.rocket(), data.cat()):
        assert not recognise(photo)
    night = (data.rocket() * 0.2).astype(np.uint8)
    assert not recognise(night)
    assert not recognise(np.zeros((256, 256, 3), np.uint8))
    assert not recognise(np.full((256, 256, 3), 255, np.uint8))


def test_one_joint_and_nothing():
    body = np.zeros((18, 3))
    body[0] = (100, 100, 1)
    got = read(draw(Pose(256, 256, (Skeleton.of(body),))))
    assert [p.seen.sum() for p in got.people] == [1]
    assert read(np.zeros((64, 64, 3), np.uint8)).people == ()
    assert read(np.zeros((1, 1, 3), np.uint8)).people == ()
