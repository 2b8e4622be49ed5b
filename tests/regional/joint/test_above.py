"""What stands above the engine, on DiT families: the hires fix in tiles and faces, against the same
with core's merged LoRA."""

import dataclasses

import comfy.sample
import comfy.utils
import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.faces.boxes import Face
from ensemble_portraits.ensemble.faces.crop import square
from ensemble_portraits.ensemble.faces.painters import PeoplePainter, PlainPainter, Target
from ensemble_portraits.ensemble.faces.redraw import RedrawSettings, redraw
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.crops import from_model, from_people
from ensemble_portraits.ensemble.regional.families import family_of
from ensemble_portraits.ensemble.regional.hires import HiresSettings, hires
from ensemble_portraits.ensemble.regional.sampling import SamplingSettings
from ensemble_portraits.ensemble.regions.rect import Rect

TOLERANCE = 1e-5
FAMILIES = ("z_image", "krea2", "flux", "flux2", "chroma", "qwen_image", "anima", "sd3")
SAMPLING = SamplingSettings(
    seed=3, steps=2, cfg=1.0, sampler="euler", scheduler="simple", denoise=0.6
)


class Vae:
    """Means of 8x8 (16x16) pixels, with the axis of time where the family's latents have one."""

    def __init__(self, family: small.Small, frames: bool):
        self.channels, self.ratio = family.channels, 16 if family.channels == 128 else 8
        self.latent_dim = 3 if frames else 2

    def spacial_compression_encode(self) -> int:
        return self.ratio

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        assert self.latent_dim < 3 or len(pixels) == 1, "a batch would be one film"
        planes = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), self.ratio)
        planes = planes.repeat(1, -(-self.channels // 3), 1, 1)[:, : self.channels]
        return planes[:, :, None] if self.latent_dim == 3 else planes

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        planes = latent[:, :3]
        planes = planes.repeat_interleave(self.ratio, -1).repeat_interleave(self.ratio, -2)
        return planes.movedim(1, -1)


@pytest.fixture(params=FAMILIES)
def case(request):
    """(family, model, a person's file, VAE)"""
    family = small.FAMILIES[request.param]
    model = family.make()
    frames = request.param in ("krea2", "qwen_image", "anima")
    return family, model, small.lora(model, 1), Vae(family, frames)


def pictures(vae, count: int = 2) -> torch.Tensor:
    sides = (8 * vae.ratio, 12 * vae.ratio)
    return torch.rand(count, *sides, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("tile", [0, 8])
def test_tiles_are_painted_with_the_people_who_stand_there(case, tile):
    """One person everywhere equals the merged LoRA, tile by tile; a batch of two pictures."""
    family, model, state, vae = case
    people = small.people(
        model, family, [state], torch.ones(1, 8, 12), base_strength=0.0, tokens=(20, 13)
    )
    settings = HiresSettings(
        factor=1.5, tile=tile * vae.ratio, overlap=2 * vae.ratio, sampling=SAMPLING
    )
    person = people.people[0]
    merged = from_model(
        small.merged(model, state), person.positive.conditioning, person.negative.conditioning
    )
    ours, wanted = (
        hires(pictures(vae), vae, paint, None, settings) for paint in (from_people(people), merged)
    )
    assert wanted.shape == (2, 12 * vae.ratio, 18 * vae.ratio, 3)
    assert tiny.relative(ours, wanted) < TOLERANCE


def test_faces_are_redrawn_each_as_its_person(case):
    """Two people in one batch, each under their own mask, against each alone with core's merged
    LoRA."""
    family, model, state, vae = case
    states = [state, small.lora(model, 2)]
    people = small.people(model, family, states, small.halves((8, 12)), tokens=(20, 13, 13))
    crops = pictures(vae)[:, :, : 8 * vae.ratio]
    box = Rect.pixels(*(n * vae.ratio for n in (2, 2, 6, 6)))
    crop = square(box, 8 * vae.ratio, 8 * vae.ratio, 2.0)
    targets = [Target(i, Face(box, 1.0), crop, i) for i in range(2)]
    masks = torch.ones(2, 8 * vae.ratio, 8 * vae.ratio)
    masks[1, :, : 4 * vae.ratio] = 0
    settings = RedrawSettings(sampling=SAMPLING)
    ours = redraw(crops, masks, targets, vae, PeoplePainter.of(people, None, None), settings)
    for i, person in enumerate(people.people):
        painter = PlainPainter.of(
            small.merged(model, states[i]), person.positive.conditioning,
            person.negative.conditioning,
        )  # fmt: skip
        # The noise follows from the person, not from the face's place in the batch.
        alone = slice(i, i + 1)
        single = redraw(crops[alone], masks[alone], targets[alone], vae, painter, settings)
        assert tiny.relative(ours[alone], single) < TOLERANCE


def test_crops_of_faces_are_of_the_size_that_the_family_knows(case):
    _, model, _, _ = case
    family = family_of(model)
    assert family.picture_side == 1024
    assert not family.takes_masked_picture(model.model)


def test_a_panorama_of_a_transformer_is_refused_by_name(case):
    """Nothing in it can wrap around; SD3's patches would even lose their last column."""
    from ensemble_portraits.ensemble.sampling.panorama import panorama_model

    _, model, _, _ = case
    with pytest.raises(ValueError, match=rf"'model' of Panorama is a {type(model.model).__name__}"):
        panorama_model(model)


PASSES = ("z_image", "flux", "krea2", "anima")


def two_passes(family, size, model, positive, negative):
    """A whole run, its latent enlarged, and the last half of another over it, as in a workflow of two
    KSamplers."""
    first = small.sample(model, positive, negative, family=family, size=size)
    larger = comfy.utils.common_upscale(
        first.flatten(0, first.ndim - 4), size[1] * 3 // 2, size[0] * 3 // 2, "bislerp", "disabled"
    ).reshape(*first.shape[:-2], size[0] * 3 // 2, size[1] * 3 // 2)
    return comfy.sample.sample(
        model, comfy.sample.prepare_noise(larger, 5), 2, 1.0, "euler", "simple", positive, negative,
        larger, denoise=0.6, seed=5, disable_pbar=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", PASSES)
def test_a_second_pass_at_another_size_is_the_merged_loras(name):
    family, size = small.FAMILIES[name], (8, 12)
    model = family.make()
    state = small.lora(model, 1)
    people = small.people(
        model, family, [state], torch.ones(1, *size), base_strength=0.0, tokens=(20, 13)
    )
    person = people.people[0]
    sides = person.positive.conditioning, person.negative.conditioning
    wanted = two_passes(family, size, small.merged(model, state), *sides)
    ours = two_passes(family, size, *build(people)[:3])
    assert wanted.shape[-2:] == (12, 18)
    assert tiny.relative(ours, wanted) < TOLERANCE
    assert tiny.relative(two_passes(family, size, model.clone(), *sides), wanted) > 1e-3


@pytest.mark.parametrize("name", PASSES)
def test_one_run_split_over_two_samplers_is_that_run(name):
    """Of two people, with people's texts kept for each sampler anew (KSamplerAdvanced twice)."""
    family, size = small.FAMILIES[name], (8, 12)
    model = family.make()
    states = [small.lora(model, 1 + i) for i in range(2)]
    run = build(small.people(model, family, states, small.halves(size, 0.2)))
    empty = comfy.sample.fix_empty_latent_channels(
        run.model, torch.zeros(1, family.channels, *size), 8, None
    )
    noise = comfy.sample.prepare_noise(empty, 3)

    def part(noise, latent, **steps):
        return comfy.sample.sample(
            run.model, noise, 4, 1.0, "euler", "simple", run.positive, run.negative, latent,
            seed=3, disable_pbar=True, **steps,
        )  # fmt: skip

    whole = part(noise, empty)
    half = part(noise, empty, start_step=0, last_step=2)
    rest = part(torch.zeros_like(noise), half, start_step=2, last_step=4, disable_noise=True)
    assert tiny.relative(half, whole) > 1e-3
    assert tiny.relative(rest, whole) < TOLERANCE


@pytest.mark.parametrize("name", PASSES)
def test_a_tile_with_two_people_is_the_model_built_for_the_crop(name):
    """The painter of a tile paints what people with cut regions paint on a canvas of their own."""
    family = small.FAMILIES[name]
    model = family.make()
    states = [small.lora(model, 1 + i) for i in range(2)]
    people = small.people(model, family, states, small.halves((12, 16), 0.2))
    part = Rect.fractions(0.25, 0.0, 0.75, 1.0)
    there = from_people(people)(part)
    cut = [dataclasses.replace(p, region=p.region[:, 4:12]) for p in people.people]
    alone = build(dataclasses.replace(people, people=tuple(cut)))
    size = (12, 8)
    ours = small.sample(*there, family=family, size=size)
    assert tiny.relative(ours, small.sample(*alone[:3], family=family, size=size)) < TOLERANCE
    whole = build(people)
    assert tiny.relative(ours, small.sample(*whole[:3], family=family, size=size)) > 1e-3
