"""What the nets are shown."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dolls.networks.autoencoder import Autoencoder
from dolls.training.batches import Batches, Mix, region_weights
from dolls.training.data import OutOfTimeError, Scenes, build
from dolls.training.render import Drawers, Job, boxes, jobs, render
from dolls.training.stages import autoencoder_jobs
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
    seen = [job.identity for row in autoencoder_jobs(200).values() for job in row]
    assert set(seen) == {None, 0, 1, 2, 3, 4, 5}
    assert seen.count(None) > len(seen) / 2


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
    assert torch.equal(one.context[0], two.context[0]) and torch.equal(one.weight, two.weight)
    assert not torch.equal(one.noise, first.draw(8).noise)
    h, w = one.latents.shape[-2:]
    assert one.hint is not None and one.hint.shape == (6, 3, 8 * h, 8 * w)
    regions = one.context[1]
    if regional:
        assert regions is not None and regions.shape == (6, 4, h, w)
        assert one.context[0].shape == (6, 4, 77, 768)
    else:
        assert regions is None and one.context[0].shape == (6, 77, 768)


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
