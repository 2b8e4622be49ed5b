"""What several people do together, on transformers: it acts once, and everywhere where they are."""

import dataclasses

import pytest
import small
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import TextSees, Together
from ensemble_portraits.ensemble.regions.weights import together

SIZE = (8, 12)


@pytest.mark.parametrize("name", ["z_image", "flux", "anima"])
def test_it_acts_on_their_picture_once(name):
    """With one text for all, people's shared LoRA equals the same LoRA as each one's own; where
    texts see the whole picture, since that of several people sees more of it than one person's."""
    family = small.FAMILIES[name]
    model = family.make()
    state, masks = small.lora(model, 5), small.halves(SIZE)
    with torch.no_grad():
        each = small.people(
            model, family, [state, state], masks, base_strength=0.0, text_sees=TextSees.ALL
        )
        first = each.people[0]
        own = [dataclasses.replace(first, region=mask) for mask in masks]
        alone = dataclasses.replace(each, people=tuple(own))
        both = Together((0, 1), dataclasses.replace(first, region=together(masks)))
        shared = dataclasses.replace(
            each,
            people=tuple(dataclasses.replace(person, patches={}) for person in own),
            together=(both,),
        )

        def run(people):
            return small.sample(*build(people)[:3], family=family, size=SIZE)

        wanted, plain = run(alone), run(dataclasses.replace(shared, together=()))
        assert float((run(shared) - wanted).norm() / wanted.norm()) < 1e-5
        assert float((plain - wanted).norm() / wanted.norm()) > 1e-3
