"""People's reference pictures in the hires fix: core's own run of one reference over the same part is the
oracle, in one tile and in several."""

import dataclasses

import comfy.sample
import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.crops import Painter, from_people
from ensemble_portraits.ensemble.regional.hires import HiresSettings, refine
from ensemble_portraits.ensemble.regional.people import Method
from ensemble_portraits.ensemble.regional.sampling import SamplingSettings
from pictures import NAMES, picture, with_references

SIZE = (8, 24)
SAMPLING = SamplingSettings(steps=2, denoise=0.6, cfg=3.0, scheduler="simple", seed=11)
TILES = HiresSettings(sampling=SAMPLING, tile=96, overlap=0)
"""At 8 px to a place of the latent: its two halves."""
WHOLE = dataclasses.replace(TILES, tile=0)
METHODS = list(Method)


def latent(model, name: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    field = torch.randn(1, small.FAMILIES[name].channels, *SIZE, generator=generator)
    return comfy.sample.fix_empty_latent_channels(model, field, 8, None)


def scene(model, name: str, masks, latents, method=Method.FUSED):
    people = small.people(
        model, small.FAMILIES[name], [{}] * len(masks), masks, base_strength=0.0, method=method
    )
    return with_references(people, latents)


def core(model, person):
    """Core's model with the person's text and picture, whatever the part."""
    painter = Painter(model.clone(), person.positive.conditioning, person.negative.conditioning)
    return lambda part: painter


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_one_person_everywhere_is_cores_run_in_one_tile_and_in_several(models, name, method):
    model = models(name)
    field = latent(model, name)
    people = scene(model, name, torch.ones(1, *SIZE), [picture(name, 1)], method)
    plain = core(model, scene(model, name, torch.ones(1, *SIZE), [None]).people[0])
    for settings in (WHOLE, TILES):
        wanted = refine(field, core(model, people.people[0]), settings, 8)
        assert tiny.relative(refine(field, plain, settings, 8), wanted) > 0.002  # it matters
        assert tiny.relative(refine(field, from_people(people), settings, 8), wanted) < 1e-5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_each_tile_has_the_pictures_of_those_who_stand_there(models, name, method):
    """Everybody alone in a tile: core's run of that person in that half, picture and all."""
    model = models(name)
    field = latent(model, name)
    people = scene(
        model, name, small.halves(SIZE), [picture(name, 1), picture(name, 2, (6, 8))], method
    )
    out = refine(field, from_people(people), TILES, 8)
    for half, person in zip((slice(0, 12), slice(12, 24)), people.people, strict=True):
        wanted = refine(field, core(model, person), TILES, 8)
        assert tiny.relative(out[..., half], wanted[..., half]) < 1e-5
