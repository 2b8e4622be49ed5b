"""What is SD3's own: a convolution that makes the picture's tokens, and blocks of others in place of its
blocks."""

import small
import tiny
from ensemble_portraits.ensemble.regional.build import build

FAMILY = small.FAMILIES["sd35_medium"]
SIZE = (13, 21)


def test_a_lora_on_the_convolution_acts_where_its_person_stands():
    model = FAMILY.make()
    state = tiny.lora(model, 1, layers=r"^x_embedder\.proj\.weight$", size=0.3)
    people = small.people(model, FAMILY, [{}, state], small.halves(SIZE), base_strength=0.0)
    seen = []
    unet = model.model.diffusion_model
    handle = unet.x_embedder.register_forward_hook(lambda _, args, out: seen.append(out.clone()))
    text = people.base.conditioning
    try:
        for run in (
            build(people)[:3],
            (model, text, text),
            (small.merged(model, state), text, text),
        ):
            small.sample(*run, family=FAMILY, size=SIZE, steps=1)
    finally:
        handle.remove()
    ours, plain, merged = (x[0].unflatten(0, (7, 11)) for x in seen)
    assert tiny.relative(plain, merged) > 0.05
    # The middle column of 11 lies in both halves.
    assert tiny.relative(ours[:, :5], plain[:, :5]) < 1e-6
    assert tiny.relative(ours[:, 6:], merged[:, 6:]) < 1e-6
