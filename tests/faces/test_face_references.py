"""People's pictures go along when their faces are redrawn: every face by its own person's."""

import dataclasses

import comfy.supported_models
import pytest
import tiny
import torch
from ensemble_portraits.ensemble.faces.painters import PeoplePainter
from ensemble_portraits.ensemble.regional.image_prompts import ImagePrompt
from redrawing import ALL, people_of, run, targets


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def image_of(model, seed: int) -> ImagePrompt:
    """Keys and values drawn at random, in place of an IP-Adapter's."""
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name, module in model.model.diffusion_model.named_modules():
        if name.endswith("attn2"):
            width = module.to_k.weight.shape[0]
            pairs[name] = tuple(torch.randn(2, 4, width, generator=generator) for _ in range(2))
    return ImagePrompt(pairs)


def test_each_face_is_painted_by_its_own_persons_picture():
    model = tiny.model()
    people, _ = people_of(model)
    without = run(ALL, PeoplePainter.of(people, None, None))
    members = tuple(
        dataclasses.replace(person, image=None if i == 1 else image_of(model, i))
        for i, person in enumerate(people.people)
    )
    painter = PeoplePainter.of(dataclasses.replace(people, people=members), None, None)
    assert len(painter.groups(ALL)) == 1
    together = run(ALL, painter)
    for i, target in enumerate(ALL):
        assert tiny.relative(run([target], painter)[0], together[i]) < 1e-4
        same = tiny.relative(without[i], together[i]) < 1e-4
        assert same == (target.person == 1)


def with_latents(people, sizes):
    def side(text, size, seed):
        latent = torch.full((1, 16, *size), float(seed))
        conditioning = [[c, {**v, "reference_latents": [latent]}] for c, v in text.conditioning]
        return dataclasses.replace(text, conditioning=conditioning)

    return dataclasses.replace(people, people=tuple(
        p if size is None else dataclasses.replace(
            p, positive=side(p.positive, size, i), negative=side(p.negative, size, i)
        )
        for i, (p, size) in enumerate(zip(people.people, sizes, strict=True))
    ))  # fmt: skip


def test_latents_of_one_size_lie_in_one_batch_and_others_apart():
    people, _ = people_of(tiny.model(kind=comfy.supported_models.SD15))
    painter = PeoplePainter.of(with_latents(people, [(4, 6), None, (4, 6), (8, 6)]), None, None)
    chosen = targets([2, 0, 1, 3])
    groups = painter.groups(chosen)
    assert [[t.person for t in group] for group in groups] == [[2, 0], [1], [3]]
    painted = painter.paint(groups[0], 64)
    for side in (painted.positive, painted.negative):
        (latents,) = side[0][1]["reference_latents"]
        assert latents.shape == (2, 16, 4, 6)
        assert [float(latent.mean()) for latent in latents] == [2.0, 0.0]
    assert "reference_latents" not in painter.paint(groups[1], 64).positive[0][1]
