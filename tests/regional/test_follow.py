"""Regions that follow what is painted: what acts when, what is handed on, and that off is off."""

import dataclasses

import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.pose.default import default_pose
from ensemble_portraits.ensemble.pose.skeleton import write_pose_keypoint
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.crops import from_people
from ensemble_portraits.ensemble.regional.follow import Follow, Follower, NotFollowedError
from ensemble_portraits.ensemble.regional.people import Method, Together
from ensemble_portraits.ensemble.regional.placement import PlacementRequest, place
from ensemble_portraits.ensemble.regional.rows import KEY, Span
from ensemble_portraits.ensemble.regional.settings import Settings, check
from ensemble_portraits.ensemble.regions.rect import Rect
from ensemble_portraits.ensemble.regions.weights import together
from ensemble_portraits.nodes.followed import EnsembleFollowedRegions
from ensemble_portraits.nodes.regional import BreakRegionalPrompt

SIZE = (24, 36)
EARLY = Follow(1.0, Span(0.0, 0.01))
"""After the first step alone."""
TEXT = "a park BREAK BREAK a woman BREAK a man"


def boxes() -> torch.Tensor:
    masks = torch.zeros(2, 48, 72)
    masks[0, 8:, 4:32], masks[1, 8:, 40:68] = 1, 1
    return masks


def shown() -> torch.Tensor:
    """`[2,h,w]` of bool: slender people in the boxes."""
    people = torch.zeros(2, *SIZE, dtype=torch.bool)
    people[0, 6:24, 7:12], people[1, 6:24, 25:29] = True, True
    return people


def picture(seed: int = 0) -> torch.Tensor:
    """A latent `[1,4,h,w]` that shows them."""
    looks = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed))).Q * 3
    made = looks[0][:, None, None].expand(4, *SIZE).clone()
    for look, person in zip(looks[1:], shown(), strict=False):
        made[:, person] = look[:, None]
    return made[None]


def scene(model, follow: Follow | None = None, **more):
    people = tiny.people(model, [tiny.lora(model, 1), tiny.lora(model, 2)], boxes(), **more)
    return people if follow is None else with_follower(people, follow)


def with_follower(people, follow: Follow, heads=(None, None)):
    members = [each.members for each in people.together]
    return dataclasses.replace(people, follower=Follower(follow, people.masks, heads, members))


def sample(people, **more):
    return tiny.sample(*build(people)[:3], size=SIZE, **{"steps": 3, **more})


def painting(people, shows: torch.Tensor, **more):
    """With a model that expects that picture at every step."""
    run = build(people)
    run.model.set_model_unet_function_wrapper(lambda _, call: shows.expand_as(call["input"]))
    return tiny.sample(*run[:3], size=SIZE, **{"steps": 3, **more})


def iou(regions: torch.Tensor) -> float:
    owner = torch.cat([1 - regions.sum(0, keepdim=True), regions]).argmax(0)
    each = [
        ((owner == i) & one).sum() / ((owner == i) | one).sum() for i, one in enumerate(shown(), 1)
    ]
    return float(torch.stack(each).mean())


def test_masks_converge_to_what_the_first_steps_show(model):
    people = scene(model, Follow(1.0, Span(0.2, 0.6)))
    painting(people, picture(), steps=8)
    found = people.follower.now
    assert iou(torch.nn.functional.adaptive_avg_pool2d(boxes()[None], SIZE)[0]) < 0.5
    assert iou(found) > 0.9 and found.sum(0).max() <= 1 + 1e-5


def test_half_of_follow_is_half_of_the_way(model):
    given = torch.nn.functional.adaptive_avg_pool2d(boxes()[None], SIZE)[0]
    found = []
    for strength in (0.5, 1.0):
        people = scene(model, Follow(strength, Span(0.2, 0.6)))
        painting(people, picture())
        found.append(people.follower.now)
    assert torch.allclose(found[0], (given + found[1]) / 2, atol=1e-5)


def test_off_and_a_window_that_never_comes_are_bit_identical(model):
    plain = sample(scene(model))
    assert torch.equal(sample(scene(model, Follow(1.0, Span(0.98, 0.99)))), plain)
    assert not torch.equal(sample(scene(model, Follow(1.0, Span(0.0, 0.5)))), plain)


def test_without_follow_nobody_follows():
    assert Settings().follow.strength == 0.0
    inputs = {each.id: each for each in BreakRegionalPrompt.define_schema().inputs}
    assert inputs["follow"].default == 0.0 and inputs["follow"].advanced
    assert list(inputs)[-3:] == ["follow", "follow_start", "follow_end"]


@pytest.mark.parametrize("with_part", [False, True])
def test_what_was_found_acts_for_the_rest_of_sampling(model, with_part):
    """Sampling with follow is one step in the given regions and the others in those that it found."""
    people = scene(model)
    if with_part:
        part = tiny.people(model, [tiny.lora(model, 3)], together(boxes())[None]).people[0]
        people = dataclasses.replace(people, together=(Together((0, 1), part),))
    following = with_follower(people, EARLY)
    out = sample(following, steps=4, cfg=3.0)
    found = following.follower.now
    assert (
        tiny.relative(found[:2], torch.nn.functional.adaptive_avg_pool2d(boxes()[None], SIZE)[0])
        > 0.05
    )

    calls = []

    def first_in_given(executor, *args, **kwargs):
        calls.append(args)
        forward.masks = given if len(calls) == 1 else found
        forward.clear()
        return executor(*args, **kwargs)

    oracle = build(people)
    forward = _forward_of(oracle.model)
    given = forward.masks
    oracle.model.add_wrapper("calc_cond_batch", first_in_given)
    assert tiny.relative(out, tiny.sample(*oracle[:3], size=SIZE, steps=4, cfg=3.0)) < 1e-5
    assert len(calls) == 4
    if with_part:
        assert torch.allclose(found[2], together(found[:2]))


def _forward_of(patched):
    from comfy.patcher_extension import WrappersMP

    wrappers = (
        patched.model_options.get("transformer_options", {}).get("wrappers") or patched.wrappers
    )
    (method,) = wrappers[WrappersMP.DIFFUSION_MODEL][KEY]
    return method.__self__.forward


@pytest.mark.parametrize("name", ["z_image", "krea2", "anima"])
def test_transformers_follow_too(name):
    family = small.FAMILIES[name]
    model = family.make()
    states = [small.lora(model, i) for i in (1, 2)]
    plain = small.people(model, family, states, boxes())
    following = with_follower(plain, Follow(1.0, Span(0.0, 0.6)))
    runs = [
        small.sample(*build(p)[:3], family=family, size=(16, 24), steps=3)
        for p in (plain, following)
    ]
    assert following.follower.now.shape == (2, 16, 24)
    assert tiny.relative(runs[1], runs[0]) > 1e-4


def test_regions_are_those_of_the_run_that_painted_the_latent(model):
    people = scene(model, Follow(1.0, Span(0.0, 0.6)))
    first = painting(people, picture(), seed=1)
    second = painting(people, picture().flip(-1), seed=2)
    of_first, of_second = (
        EnsembleFollowedRegions.execute(people=people, samples={"samples": s})
        for s in (first, second)
    )
    size = boxes().shape[-2:]
    assert of_first[1].shape == (2, *size) and not torch.equal(of_first[1], of_second[1])
    small_ones = torch.nn.functional.adaptive_avg_pool2d(of_first[1][None], SIZE)[0]
    assert iou(small_ones) > 0.85
    assert torch.equal(of_first[0].masks, of_first[1]) and of_first[0].follower is None
    with pytest.raises(NotFollowedError, match="'samples'"):
        people.follower.regions_of(first + 1)
    with pytest.raises(NotFollowedError, match="follow is 0"):
        EnsembleFollowedRegions.execute(people=scene(model), samples={"samples": first})


def test_a_later_run_begins_with_the_given_regions(model):
    """Runs do not depend on what ran before, interrupted or not."""
    people = scene(model, Follow(1.0, Span(0.0, 0.6)))
    run = build(people)
    once = tiny.sample(*run[:3], size=SIZE, seed=5)
    people.follower.now = torch.zeros(2, *SIZE)
    people.follower.why_not = "an interrupted run"
    assert torch.equal(tiny.sample(*run[:3], size=SIZE, seed=5), once)


def test_a_batch_stays_in_the_given_regions_and_says_so(model):
    people = scene(model, Follow(1.0, Span(0.0, 0.6)))
    told = []
    run = build(people)
    names = _names_of(run.model)
    names.tell = told.append
    out = tiny.sample(*run[:3], size=SIZE, batch=2)
    assert torch.equal(out, sample(scene(model), batch=2))
    assert any("one picture at a time" in line for line in told)
    regions, line = people.follower.regions_of(out)
    assert torch.equal(regions, people.masks) and "one picture at a time" in line


def _names_of(patched):
    from comfy.patcher_extension import WrappersMP

    wrappers = (
        patched.model_options.get("transformer_options", {}).get("wrappers") or patched.wrappers
    )
    return wrappers[WrappersMP.DIFFUSION_MODEL][KEY][0].__self__.names


def test_exact_follows_nobody_and_says_so(model):
    people = scene(model, Follow(1.0, Span(0.0, 0.6)), method=Method.EXACT)
    assert any("follow" in note for note in build(people).notes)
    out = sample(people)
    assert torch.equal(out, sample(scene(model, method=Method.EXACT)))
    assert "exact" in people.follower.regions_of(out)[1]


def test_a_run_that_begins_behind_the_window_looks_once(model):
    people = scene(model, Follow(1.0, Span(0.0, 0.1)))
    painting(people, picture(), latent=picture(), denoise=0.3)
    assert people.follower.now is not None and iou(people.follower.now) > 0.9


def test_hires_tiles_do_not_follow(model):
    people = scene(model, Follow(1.0, Span(0.0, 1.0)))
    for part in (Rect.fractions(0, 0, 1, 1), Rect.fractions(0, 0, 0.5, 1)):
        painter = from_people(people)(part)
        assert _names_of(painter.model).follower is None


def test_a_head_is_kept(model):
    people = scene(model)
    head = Rect.fractions(0.2, 0.2, 0.3, 0.3)
    people = with_follower(people, Follow(1.0, Span(0.0, 0.6)), (head, None))
    painting(people, torch.zeros(1, 4, *SIZE).fill_(0.5))
    assert people.follower.now[0, 6, 9] == 1.0


@pytest.mark.parametrize("follow", [Follow(1.5), Follow(1.0, Span(0.5, 0.5)), Follow(-0.1)])
def test_wrong_numbers_name_the_inputs(follow):
    with pytest.raises(ValueError, match="follow_start"):
        check(TEXT, "", Settings(follow=follow))
    said = BreakRegionalPrompt.validate_inputs(
        text=TEXT,
        follow=follow.strength,
        follow_start=follow.span.start,
        follow_end=follow.span.end,
    )
    assert "follow_end" in said


@pytest.mark.parametrize("thin", [False, True])
def test_skeletons_tell_thin_bodies_where_they_are_wanted(thin):
    pose = write_pose_keypoint([default_pose(2, 320, 320)[0]])
    placed = place(PlacementRequest(people=2, pose=pose, thin=thin))
    assert (placed.thin is not None) == thin
    if placed.thin is not None:
        inside, body = placed.regions > 0.5, placed.thin > 0.5
        assert (body & ~inside).sum() < 0.01 * body.sum()
        assert 0.2 < body.sum() / inside.sum() < 0.8
