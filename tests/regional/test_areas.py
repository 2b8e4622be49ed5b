"""Parts of the canvas: areas of core's own nodes, tiles of others, and the picture as a ring."""

import dataclasses

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method
from ensemble_portraits.ensemble.sampling.panorama import panorama_model

import nodes  # ComfyUI's

TOLERANCE = 1e-4
METHODS = list(Method)
COLUMN = (64, 48, 0, 48)  # height, width, y, x in pixels: the right half of 64 x 96


@pytest.fixture(scope="module")
def model():
    return tiny.model(tiny.DEEP)


def in_area(conditioning, area=COLUMN):
    height, width, y, x = area
    return nodes.ConditioningSetArea().append(conditioning, width, height, x, y, 1.0)[0]


def two_people(model, method):
    states = [tiny.lora(model, 1 + i) for i in range(2)]
    people = tiny.people(
        model, states, tiny.columns(2), base_strength=0.0, method=method, tokens=[77, 154, 77]
    )
    return people, states


@pytest.mark.parametrize("method", METHODS)
def test_an_area_over_one_persons_column_is_that_person(model, method):
    """Beside a plain text for the rest, as area composition has it."""
    people, states = two_people(model, method)
    run = build(people)
    rest = tiny.text(60).conditioning
    person = people.people[1]
    wanted = tiny.sample(
        tiny.merged(model, states[1]), in_area(person.positive.conditioning),
        in_area(person.negative.conditioning),
    )  # fmt: skip
    ours = tiny.sample(run.model, in_area(run.positive), in_area(run.negative))
    # In the area itself: beyond it core divides nothing by next to nothing.
    assert tiny.relative(ours[..., 6:], wanted[..., 6:]) < TOLERANCE
    whole = tiny.sample(run.model, [*in_area(run.positive), *rest], run.negative)
    assert torch.isfinite(whole).all()


def test_areas_of_one_size_in_two_places(model):
    """Core would lay them into one batch; each is painted with the people of its own place."""
    people, _ = two_people(model, Method.FUSED)
    run = build(people)
    areas = [(64, 48, 0, 0), COLUMN]

    def sides(which):
        return ([e for a in which for e in in_area(side, a)] for side in run[1:3])

    both = tiny.sample(run.model, *sides(areas), steps=1, cfg=1.0)
    for area, columns in zip(areas, (slice(0, 6), slice(6, 12)), strict=True):
        alone = tiny.sample(run.model, *sides([area]), steps=1, cfg=1.0)
        assert tiny.relative(both[..., columns], alone[..., columns]) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_an_area_on_the_positive_alone(model, method):
    """Core then makes the negative's area by itself, a copy of the positive's entry."""
    people, _ = two_people(model, method)
    run = build(people)
    person = people.people[1]
    twin = dataclasses.replace(people, negative=person.negative)
    negative = build(twin).negative if method is Method.EXACT else run.negative
    ours = tiny.sample(run.model, in_area(run.positive), negative)
    assert torch.isfinite(ours).all()
    if method is Method.FUSED:
        apart = tiny.sample(run.model, in_area(run.positive), in_area(run.negative))
        whole = tiny.sample(
            run.model, in_area(run.positive), [*run.negative, *in_area(run.negative)]
        )
        assert tiny.relative(ours, whole) < TOLERANCE
        assert tiny.relative(ours, apart) > 1e-3


def tiled_by_rows(apply_model, call):
    """Tiled diffusion's way: the picture's halves as more rows of one batch."""
    x, c = call["input"], dict(call["c"])
    half = x.shape[-1] // 2
    tiles = torch.cat([x[..., :half], x[..., half:]])
    for key in ("c_crossattn", "y"):
        if key in c:
            c[key] = torch.cat([c[key], c[key]])
    timestep = torch.cat([call["timestep"]] * 2)
    return torch.cat(apply_model(tiles, timestep, **c).chunk(2), -1)


@pytest.mark.parametrize("method", METHODS)
def test_tiles_behind_cores_back_are_refused(model, method):
    people, _ = two_people(model, method)
    run = build(people)
    patcher = run.model.clone()
    patcher.set_model_unet_function_wrapper(tiled_by_rows)
    with pytest.raises(RuntimeError, match=r"paint \d x 8 x 6.*EnsembleHires"):
        tiny.sample(patcher, run.positive, run.negative)


@pytest.mark.parametrize("method", METHODS)
def test_a_sampler_that_cuts_latent_and_masks_into_tiles(model, method):
    """Tiled samplers cut every entry's mask; each tile is painted with the people who stand there."""
    people, _ = two_people(model, method)
    run = build(people)

    def cut(conditioning):
        tile = []
        for context, values in conditioning:
            values = dict(values)
            if "mask" in values:
                values["mask"] = values["mask"][..., values["mask"].shape[-1] // 2 :]
            tile.append([context, values])
        return tile

    noise = torch.randn(1, 4, 8, 6, generator=torch.Generator().manual_seed(4))
    ours = tiny.sample(run.model, cut(run.positive), cut(run.negative), noise=noise, size=(8, 6))
    there = dataclasses.replace(people).with_regions(lambda region: region[:, 48:])
    wanted = tiny.sample(*build(there)[:3], noise=noise, size=(8, 6))
    assert tiny.relative(ours, wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["lora", "whole"])
def test_a_panorama_is_one_in_the_loras_half_of_a_convolution(model, method, kind):
    layers = r"(in_layers\.2|out_layers\.3|\.op|\.conv|input_blocks\.0\.0|^out\.2)\.weight$"
    state = tiny.lora(model, 1, layers=layers)
    if kind == "whole":
        if method is Method.FUSED:
            pytest.skip("fused holds no whole differences")
        weight = model.model.state_dict()["diffusion_model.middle_block.0.in_layers.2.weight"]
        full = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) * 0.05
        state = {"diffusion_model.middle_block.0.in_layers.2.diff": full}
    people = tiny.people(model, [state], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    run, person = build(people), people.people[0]
    texts = person.positive.conditioning, person.negative.conditioning
    wanted = tiny.sample(panorama_model(tiny.merged(model, state)), *texts)
    ours = tiny.sample(panorama_model(run.model), run.positive, run.negative)
    assert tiny.relative(ours, wanted) < TOLERANCE
    assert tiny.relative(tiny.sample(tiny.merged(model, state), *texts), wanted) > 0.01
