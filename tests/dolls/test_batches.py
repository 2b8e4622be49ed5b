"""What the nets are shown."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dolls.networks.autoencoder import Autoencoder
from dolls.networks.text import SHORT
from dolls.training.batches import Batches, Mix, region_weights
from dolls.training.data import OutOfTimeError, Scenes, build
from dolls.training.render import Drawers, Job, boxes, jobs, render
from dolls.training.stages import (
    Crops,
    Drawn,
    autoencoder_jobs,
    picture_error,
    signature_nearness,
)
from dolls.world import identity_scores, person_masks
from dolls.world.scenes import make_scene

pytestmark = pytest.mark.long

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def drawers():
    return Drawers(1)


@pytest.fixture(scope="module")
def scenes(drawers) -> Scenes:
    return build(Autoencoder(), jobs(12, 100)["landscape"], drawers, CPU, lambda: True)


part = st.floats(0, 1, width=32)


@given(
    st.lists(st.tuples(part, part, part, part), min_size=3, max_size=3),
    st.none() | st.floats(0, 0.1),
    st.sampled_from((0.0, 0.2, 0.4)),
)
def test_region_weights_sum_to_one(rows, grow, base):
    table = torch.tensor([[[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in rows]])
    weights = region_weights(table, 12, 18, grow, base)
    assert weights.shape == (1, 4, 12, 18)
    assert torch.allclose(weights.sum(1), torch.ones(1, 12, 18), atol=1e-5)
    assert weights.min() >= 0 and weights[:, 0].min() >= base - 1e-5


def test_grown_boxes_hold_people_and_columns_everything():
    import random

    for seed in range(20):
        scene = make_scene(random.Random(seed), shape="landscape", count=3)
        table = torch.from_numpy(boxes(scene))[None]
        w, h = scene.size
        in_boxes = region_weights(table, h, w, 0.0, 0.0)[0].numpy()
        for i, mask in enumerate(person_masks(scene)):
            assert (in_boxes[1 + i] > 0)[mask].mean() > 0.95
        columns = region_weights(table, h, w, None, 0.0)[0].numpy()
        assert columns[0].max() == 0 and (np.diff(columns[1:].argmax(0), axis=1) >= 0).all()


def test_a_job_is_its_seed(drawers):
    one, two = (render(Job(5, "square", 2)) for _ in range(2))
    for name, value in vars(one).items():
        assert (value == getattr(two, name)).all()
    assert identity_scores(one.picture)[2] >= 0.5


def test_several_drawers_draw_what_one_does(drawers):
    wanted = [Job(i, "portrait") for i in range(20)]
    alone = [each.picture for each in drawers.render(wanted)]
    with Drawers(2) as two:
        together = [each.picture for each in two.render(wanted)]
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_the_autoencoder_sees_the_colours_that_only_identities_wear():
    made = [job for row in autoencoder_jobs(400) for job in row]
    seen = [job.identity for job in made]
    assert set(seen) == {None, 0, 1, 2, 3, 4, 5}
    assert seen.count(None) >= 0.4 * len(seen)
    assert {job.scale for job in made} == {0.75, 1.0, 1.5}


def test_crops_are_of_the_pictures_and_many_show_a_head():
    rendered = [render(job) for job in jobs(8, 0, scale=0.75)["portrait"]]
    pictures = torch.from_numpy(np.stack([each.picture for each in rendered]))
    heads = torch.from_numpy(np.stack([each.heads for each in rendered]))
    marked = torch.zeros_like(pictures)
    for picture, people in zip(marked, heads, strict=True):
        for x, y in people.int().tolist():
            picture[y, x] = 255
    crops = [Crops([Drawn(each, heads)], 40, seed=1).draw(3) for each in (pictures, marked)]
    assert crops[0].shape == (40, 3, 96, 96) and 0.1 < float(crops[0].mean()) < 0.9
    assert float((crops[1].amax((1, 2, 3)) > 0).float().mean()) > 0.6


def test_an_error_at_an_identitys_colour_counts_more():
    signature = torch.tensor([235, 24, 176])[None, :, None, None] / 255
    wrong = [colour.expand(1, 3, 8, 8) for colour in (signature, torch.full((1, 3, 1, 1), 0.5))]
    near = [float(signature_nearness(each).mean()) for each in wrong]
    assert near[0] > 0.99 and near[1] < 0.2
    off = [float(picture_error(each + 0.05, each)) for each in wrong]
    assert off[0] > 2 * off[1]


def test_a_hue_that_is_lost_costs_more_than_light():
    """Pink for skin, which is as bright, against the same difference in brightness."""
    flat = torch.full((1, 3, 8, 8), 0.5)
    hue, light = flat.clone(), flat + 0.1
    hue[:, 1] += 0.1
    hue[:, 0] -= 0.1
    hue[:, 2] += 0.1
    assert float(picture_error(hue, flat)) > 1.5 * float(picture_error(light, flat))


def test_scenes_stay_what_they_are_on_disk(scenes, tmp_path):
    scenes.save(tmp_path / "s.safetensors")
    again = Scenes.load(tmp_path / "s.safetensors")
    for name, value in vars(scenes).items():
        assert torch.equal(value, getattr(again, name))


def test_drawing_stops_when_the_time_is_over(drawers):
    with pytest.raises(OutOfTimeError):
        build(Autoencoder(), jobs(4, 0)["square"], drawers, CPU, lambda: False)


def batches(scenes, text, **mix) -> Batches:
    return Batches({"landscape": scenes}, text, Mix(6, drop=0.2, **mix), seed=3)


@pytest.mark.parametrize("regional", [0.0, 1.0])
def test_a_batch_is_its_step(scenes, text, regional):
    """So that a run that was interrupted sees what it would have seen."""
    first = batches(scenes, text, regional=regional, hints=True)
    first.draw(1)
    one, two = first.draw(7), batches(scenes, text, regional=regional, hints=True).draw(7)
    for a, b in ((one.latents, two.latents), (one.noise, two.noise), (one.t, two.t)):
        assert torch.equal(a, b)
    assert torch.equal(one.context.text, two.context.text)
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.noise, first.draw(8).noise)
    h, w = one.latents.shape[-2:]
    assert one.hint is not None and one.hint.shape == (6, 3, 8 * h, 8 * w)
    regions, said = one.context.regions, one.context.text
    if not regional:
        assert regions is None and said.shape == (6, 1, 77, 768)
        return
    # As many texts as there are people, and the base's.
    used = said.shape[1]
    assert regions is not None and regions.shape == (6, used, h, w) and 2 <= used <= 4
    assert said.shape == (6, used, SHORT, 768)
    assert torch.allclose(regions.sum(1), torch.ones(6, h, w), atol=1e-5)


def test_batches_with_regions_are_of_scenes_with_as_many_people(scenes, text):
    drawn = [batches(scenes, text, regional=1.0).draw(step).context for step in range(20)]
    people = (scenes.boxes[..., 2] > scenes.boxes[..., 0]).sum(1).tolist()
    assert len(set(people)) > 1
    assert {ctx.text.shape[1] for ctx in drawn} == {1 + count for count in people}


def test_told_of_one_person_errors_count_at_that_person(scenes, text):
    """With everybody's errors counted the model would learn that unnamed people appear."""
    drawn = [batches(scenes, text, regional=0.0).draw(step) for step in range(12)]
    weights = torch.cat([batch.weight for batch in drawn])
    inside = (weights == 1).float().mean((1, 2, 3))
    outside = weights[weights < 1]
    assert outside.numel() and torch.all(outside == outside[0])
    told = inside[inside < 1]
    assert 0.1 < len(told) / len(inside) < 0.5
    assert told.min() > 0 and told.max() < 0.8
