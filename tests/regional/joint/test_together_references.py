"""What several people do together beside their reference pictures."""

import dataclasses

import pytest
import small
import tiny
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.isolation import Isolation
from ensemble_portraits.ensemble.regional.joint.attention import JointAttention
from ensemble_portraits.ensemble.regional.people import Method, TextSees, Together
from ensemble_portraits.ensemble.regions.weights import together
from pictures import NAMES, picture, plain, run, shown


def scene(models, name, pictures, **more):
    """Twins in their halves, who say the same each and together; the pictures are the people's."""
    model, family = models(name), small.FAMILIES[name]
    masks = small.halves(family.sizes[0])
    made = small.people(
        model, family, [{}, {}], masks, base_strength=0.0, text_sees=TextSees.ALL, **more
    )
    first = made.people[0]
    own = [
        each if latent is None else shown(each, latent, "index")
        for each, latent in zip(
            (dataclasses.replace(first, region=mask) for mask in masks), pictures, strict=True
        )
    ]
    both = Together((0, 1), dataclasses.replace(first, region=together(masks)))
    return dataclasses.replace(made, people=tuple(own), together=(both,))


def without(people):
    return dataclasses.replace(people, together=())


@pytest.mark.parametrize("name", NAMES)
def test_exact_paints_it_with_each_ones_picture(models, name):
    people = scene(models, name, [picture(name, 1)] * 2, method=Method.EXACT)
    wanted = plain(name, models(name), people.people[0])
    assert tiny.relative(run(name, people), wanted) < 1e-5


@pytest.mark.parametrize("isolate", [0.0, 1.0])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_it_takes_nothing_from_their_pictures(models, name, split, isolate, monkeypatch):
    """The first block's picture is as it is without it; in later ones its text has seen no reference.
    split: by attention backends that tell no log-sum-exp."""
    if split:
        monkeypatch.setattr(
            "ensemble_portraits.ensemble.regional.joint.attention.kernel_for", lambda q: None
        )
    told = "_split_by_text" if split else "_merged"
    attend, seen = getattr(JointAttention, told), []

    def first(self, *inputs):
        out = attend(self, *inputs)
        texts = self.tokens.texts
        seen.append(out[:, :, texts.tokens : texts.tokens + self.tokens.grid.tokens])
        return out

    monkeypatch.setattr(JointAttention, told, first)
    pictures = [picture(name, 1), picture(name, 2, (7, 9))]
    people = scene(models, name, pictures, isolation=Isolation(isolate))
    run(name, people)
    blocks = len(seen)
    run(name, without(people))
    assert blocks and tiny.relative(seen[0], seen[blocks]) < 1e-5


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("name", NAMES)
def test_one_picture_of_two_and_guidance(models, name, method):
    some, none = (
        run(name, scene(models, name, [None, latent], method=method), cfg=3.0)
        if method is Method.FUSED
        else small.sample(
            *build(scene(models, name, [None, latent], method=method))[:3],
            family=small.FAMILIES[name], size=small.FAMILIES[name].sizes[0], cfg=3.0,
        )
        for latent in (picture(name, 2, (7, 9)), None)
    )  # fmt: skip
    assert some.isfinite().all() and tiny.relative(some, none) > 0.005
