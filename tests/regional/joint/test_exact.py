"""method = exact on DiTs, against core's own hooks and masks."""

import pytest
import small
import tiny
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-5


@pytest.mark.parametrize("name", small.FAMILIES)
def test_exact_is_core_hooks_with_texts_of_any_length(name):
    """Texts are not repeated to a common length: joint attention would count them twice."""
    family = small.FAMILIES[name]
    model = family.make()
    states = [small.lora(model, 1 + i) for i in range(2)]
    masks = small.halves((16, 24), 0.2)
    people = small.people(model, family, states, masks, method=Method.EXACT, tokens=(20, 40, 20))
    size = family.sizes[0]
    reference = small.sample(*tiny.core_hooks(people, states), family=family, size=size, steps=1)
    none = small.sample(*tiny.core_hooks(people, [{}, {}]), family=family, size=size, steps=1)
    assert tiny.relative(none, reference) > 0.05  # the LoRAs matter
    out = small.sample(*build(people)[:3], family=family, size=size, steps=1)
    assert tiny.relative(out, reference) < TOLERANCE
    assert not small.touched(model)
