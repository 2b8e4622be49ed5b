"""What stands above the engine, on DiT families: the hires fix in tiles and faces, against the same
with core's merged LoRA."""

import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.faces.boxes import Face
from ensemble_portraits.ensemble.faces.crop import square
from ensemble_portraits.ensemble.faces.painters import PeoplePainter, PlainPainter, Target
from ensemble_portraits.ensemble.faces.redraw import RedrawSettings, redraw
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


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.no_grad():
        yield


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
