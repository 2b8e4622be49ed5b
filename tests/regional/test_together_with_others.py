"""What several people do together beside the rest: people's pictures, isolation, `exact`, faces, tiles and
the measures. Who is a person and what is only painted are never mixed up."""

import dataclasses

import comfy.samplers
import pytest
import tiny
import torch
from comfy.clip_vision import ClipVisionModel
from ensemble_portraits.ensemble.leak.effects import effects_of_people
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.crops import from_people
from ensemble_portraits.ensemble.regional.hires import HiresSettings, refine
from ensemble_portraits.ensemble.regional.ip_adapter import image_prompt, read_ip_adapter
from ensemble_portraits.ensemble.regional.isolation import Isolation
from ensemble_portraits.ensemble.regional.people import Method, Together
from ensemble_portraits.ensemble.regional.sampling import SamplingSettings
from ensemble_portraits.ensemble.regional.texts import LostTextError
from ensemble_portraits.ensemble.regions.weights import picture_weights, region_weights, together
from published import VISION, adapter_of, drawn, photo, plain, sees

METHODS = list(Method)
NOWHERE = torch.zeros(64, 96)


@pytest.fixture(scope="module")
def adapter(model):
    return adapter_of(model, "base")


@pytest.fixture(scope="module")
def vision():
    made = ClipVisionModel(VISION)
    drawn(made.model, 7)
    return made


def scene(model, states, shared_state=None, **more):
    """People in columns, of whom the first two do something together."""
    made = tiny.people(model, [*states, shared_state or {}], tiny.columns(len(states) + 1), **more)
    *own, last = made.people
    masks = tiny.columns(len(states))
    own = tuple(dataclasses.replace(p, region=m) for p, m in zip(own, masks, strict=True))
    both = dataclasses.replace(last, region=together(masks[:2]))
    return dataclasses.replace(made, people=own, together=(Together((0, 1), both),))


def saying(people, text, negative):
    """Everybody, and what they do together, with one text."""

    def said(person):
        return dataclasses.replace(person, positive=text, negative=negative)

    return dataclasses.replace(
        people,
        people=tuple(map(said, people.people)),
        together=tuple(
            dataclasses.replace(each, painted=said(each.painted)) for each in people.together
        ),
    )


def shown(people, images):
    members = zip(people.people, images, strict=True)
    return dataclasses.replace(
        people, people=tuple(dataclasses.replace(p, image=image) for p, image in members)
    )


def run(people):
    return tiny.sample(*build(people)[:3])


@pytest.fixture(scope="module")
def image(model, adapter, vision):
    return image_prompt(read_ip_adapter("it", *adapter.halves()), vision, model, photo(1), 0.8)


@pytest.mark.parametrize("method", METHODS)
def test_a_text_of_both_takes_nothing_from_their_pictures(model, adapter, vision, image, method):
    """Twins who say the same together are one person with that picture: the published formula."""
    people = scene(model, [{}, {}], method=method, base_strength=0.0)
    first = people.people[0]
    people = shown(saying(people, first.positive, first.negative), [image] * 2)
    wanted = plain(model, adapter, sees(vision, "base", photo(1)), first, 0.8)
    assert tiny.relative(run(people), wanted) < 1e-4


def test_with_exact_each_keeps_their_own_lora_in_what_they_do_together(model):
    """Twins with a LoRA each, and one more together: core's merged model."""
    own, both = (tiny.lora(model, i, layers=tiny.EVERYTHING) for i in (3, 4))
    people = scene(model, [own, own], both, method=Method.EXACT, base_strength=0.0)
    first = people.people[0]
    people = saying(people, first.positive, first.negative)
    sides = first.positive.conditioning, first.negative.conditioning
    wanted = tiny.sample(tiny.merged(model, own, both), *sides)
    assert tiny.relative(tiny.sample(tiny.merged(model, both), *sides), wanted) > 0.01
    assert tiny.relative(run(people), wanted) < 1e-4


def test_without_loras_and_pictures_it_is_one_row_of_exact(model):
    people = scene(model, [{}, {}], method=Method.EXACT)
    rows = [
        len(build(each).positive)
        for each in (people, scene(model, [tiny.lora(model, 1), {}], method=Method.EXACT))
    ]
    assert rows == [4, 5]


@pytest.mark.parametrize("method", METHODS)
def test_a_third_person_keeps_their_picture(model, image, method):
    """It is theirs alone: with or without what the others do, it acts in their column."""
    people = scene(model, [{}, {}, {}], method=method)
    with_picture = shown(people, [None, None, image])
    change = (run(with_picture) - run(people)).abs().mean((0, 1, 2))
    assert change[8:].mean() > 1.5 * change[:4].mean()


def test_isolated_people_stay_apart_while_doing_something_together(model):
    """Closing people off changes the picture, and nothing of it depends on a part that has no place."""
    people = scene(model, [tiny.lora(model, i) for i in (1, 2)], tiny.lora(model, 5))
    closed = dataclasses.replace(people, isolation=Isolation(1.0))
    assert tiny.relative(run(closed), run(people)) > 1e-3
    silent = dataclasses.replace(people.together[0].painted, region=NOWHERE, patches={})
    nowhere = dataclasses.replace(closed, together=(Together((0, 1), silent),))
    alone = dataclasses.replace(closed, together=())
    assert tiny.relative(run(nowhere), run(alone)) < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_tiles_have_their_part_of_it(model, image, method):
    """Whole and as one person everywhere, in tiles: each is the run of its own part."""
    people = scene(model, [tiny.lora(model, 1), {}], tiny.lora(model, 5), method=method)
    people = shown(people, [image, None])
    how = SamplingSettings(steps=2, denoise=0.5, cfg=3.0, scheduler="normal", seed=11)
    field = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(1))
    tiles = refine(field, from_people(people), HiresSettings(sampling=how, tile=64, overlap=0), 8)
    noise = comfy.sample.prepare_noise(field, 11)
    for left in (0, 8):
        here = people.with_regions(lambda r, left=left: r[:, left * 6 : left * 6 + 48])
        own = build(here)
        part = slice(left, left + 8)
        wanted = comfy.sample.sample(
            own.model, noise[..., part], 2, 3.0, "euler", "normal", own.positive, own.negative,
            field[..., part], denoise=0.5, seed=11, disable_pbar=True,
        )  # fmt: skip
        assert torch.allclose(tiles[..., part], wanted, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_effects_are_of_people_alone(model, method):
    people = scene(model, [tiny.lora(model, i) for i in (1, 2)], tiny.lora(model, 5), method=method)
    how = SamplingSettings(seed=1, steps=2, cfg=3.0, scheduler="normal", denoise=1.0)
    found = effects_of_people(people, {"samples": torch.zeros(1, 4, 8, 12)}, how, 1)
    assert found.people == 2 and found.cell(0, 1).mean < 1.0


def test_what_lost_its_text_is_called_by_its_name(model):
    people = scene(model, [{}, {}])
    made = build(people)
    kept = made.positive[:-1]
    with pytest.raises(LostTextError, match="the text of what several people do together"):
        tiny.sample(made.model, kept, made.negative)
    with pytest.raises(LostTextError, match="the text of person 1, 2 "):
        tiny.sample(made.model, made.positive[:1], made.negative)


def test_picture_weights_add_what_is_done_together():
    masks = tiny.columns(2)
    every = torch.cat([masks, together(masks)[None]])
    own, given = region_weights(every, 0.2)[1:], picture_weights(every, 0.2, [(0, 1)])
    apart = region_weights(masks, 0.2)[1:]
    assert (given[:2] >= own[:2]).all() and (given[:2] >= apart - 1e-6).all()
    assert torch.equal(picture_weights(masks, 0.2, []), apart)
