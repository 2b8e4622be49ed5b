"""What must hold for every family (float32, whole sampling runs, relative error of the latent).
The numbers are those of the facts that the engine was written from."""

import dataclasses

import pytest
import small
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.families import family_of
from ensemble_portraits.ensemble.regional.families.joint_attention import JointAttentionFamily
from ensemble_portraits.ensemble.regional.joint.attention import JointAttention
from ensemble_portraits.ensemble.regional.people import Method, TextSees

TOLERANCE = 1e-5
CASES = [(name, size) for name, family in small.FAMILIES.items() for size in family.sizes]
BOTH = list(TextSees)


@dataclasses.dataclass
class Scene:
    family: small.Small
    size: tuple[int, int]
    model: ModelPatcher
    states: list

    def people(self, masks, states=None, **more):
        states = self.states if states is None else states
        return small.people(self.model, self.family, states, masks, **more)

    def run(self, people, **sampling):
        run = build(people)
        calls = small.count_calls(run.model)
        out = small.sample(*run[:3], family=self.family, size=self.size, **sampling)
        if sampling.get("cfg", 1.0) == 1.0:  # oracle 11: one call per step
            assert len(calls) == sampling.get("steps", 2)
        return out

    def plain(self, text, model=None, negative=None, **sampling):
        negative = negative or text
        model = self.model.clone() if model is None else model
        return small.sample(
            model,
            text.conditioning,
            negative.conditioning,
            family=self.family,
            size=self.size,
            **sampling,
        )

    def merged(self, person, state, **sampling):
        model = small.merged(self.model, state)
        return self.plain(person.positive, model, person.negative, **sampling)


@pytest.fixture(scope="module")
def models():
    made = {}

    def of(name):
        if name not in made:
            model = small.FAMILIES[name].make()
            made[name] = model, [small.lora(model, 1 + i, rank=3 + i) for i in range(2)]
        return made[name]

    return of


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1][0]}x{case[1][1]}")
def scene(request, models):
    name, size = request.param
    return Scene(small.FAMILIES[name], size, *models(name))


def twins(scene, masks, state=None, base=None, **more):
    """The same person in several places."""
    state = scene.states[0] if state is None else state
    people = scene.people(masks, [state] * len(masks), tokens=(20, 13, 13), **more)
    first = people.people[0]
    same = tuple(
        dataclasses.replace(p, positive=first.positive, negative=first.negative)
        for p in people.people
    )
    return dataclasses.replace(people, people=same, base=base or people.base)


@pytest.mark.parametrize("sees", BOTH)
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_1_one_person_everywhere_is_cores_merged_lora(scene, sees, cfg):
    ones = torch.ones(1, *scene.size)
    people = scene.people(ones, scene.states[:1], base_strength=0.0, text_sees=sees)
    person = people.people[0]
    reference = scene.merged(person, scene.states[0], cfg=cfg)
    assert tiny.relative(scene.plain(person.positive), reference) > 0.05  # the LoRA matters
    assert tiny.relative(scene.run(people, cfg=cfg), reference) < TOLERANCE


@pytest.mark.parametrize("masks", [{}, {"feather": 0.4}, {"cut": 0.3}], ids=str)
def test_2_twins_are_one_person(scene, masks):
    people = twins(scene, small.halves(scene.size, **masks), base_strength=0.0,
                   text_sees=TextSees.ALL)  # fmt: skip
    reference = scene.merged(people.people[0], scene.states[0])
    assert tiny.relative(scene.run(people), reference) < TOLERANCE


def test_3_twins_and_a_base_that_says_the_same_are_the_plain_run(scene):
    people = twins(scene, small.halves(scene.size, 0.4), {}, base_strength=0.5,
                   text_sees=TextSees.ALL)  # fmt: skip
    people = dataclasses.replace(people, base=people.people[0].positive)
    assert tiny.relative(scene.run(people), scene.plain(people.base)) < TOLERANCE


def two(scene, sees, states=None, **more):
    masks = small.halves(scene.size, 0.2) * torch.tensor([0.8, 1.0])[:, None, None]
    return scene.people(masks, states, base_strength=0.2, text_sees=sees, **more)


def dense(self, q, k, v, plain, *_):
    """The definition: a softmax per text, written out."""
    texts, (qi, ki, vi) = self._parts(q, k, v)
    told = self._texts(texts, ki, vi, plain)
    out = 0
    for weight, (_, kt, vt) in zip(self.tokens.weights, texts, strict=True):
        keys, values = torch.cat([kt, ki], 2), torch.cat([vt, vi], 2)
        score = (qi @ keys.transpose(-1, -2)) * qi.shape[-1] ** -0.5
        out = out + score.softmax(-1) @ values * weight[:, None]
    return torch.cat([*told, out], 2)


@pytest.mark.parametrize("sees", BOTH)
def test_4_the_merge_is_a_softmax_per_text(scene, sees, monkeypatch):
    if not isinstance(family_of(scene.model), JointAttentionFamily):
        pytest.skip("its texts have an attention apart: nothing is merged")
    people = two(scene, sees)
    merged = scene.run(people)
    monkeypatch.setattr(JointAttention, "_merged", dense)
    assert tiny.relative(merged, scene.run(people)) < TOLERANCE


@pytest.mark.parametrize("sees", BOTH)
def test_4_the_split_by_text_is_the_same(scene, sees, monkeypatch):
    """As with Sage or on MPS, which tell no log-sum-exp."""
    if not isinstance(family_of(scene.model), JointAttentionFamily):
        pytest.skip("its texts have an attention apart: nothing is merged")
    people = two(scene, sees)
    merged = scene.run(people)
    monkeypatch.setattr(
        "ensemble_portraits.ensemble.regional.joint.attention.kernel_for", lambda q: None
    )
    assert tiny.relative(merged, scene.run(people)) < TOLERANCE


@pytest.mark.parametrize("sees", BOTH)
def test_5_the_order_of_people_does_not_matter(scene, sees):
    people = two(scene, sees)
    turned = dataclasses.replace(people, people=people.people[::-1])
    assert tiny.relative(scene.run(turned), scene.run(people)) < TOLERANCE


@pytest.mark.parametrize("sees", BOTH)
def test_6_a_person_with_an_empty_mask_changes_nothing(scene, sees):
    people = two(scene, sees)
    nobody = small.person(
        scene.model, scene.family, scene.states[0], torch.zeros(scene.size), 9, 50
    )
    more = dataclasses.replace(people, people=(*people.people, nobody))
    assert tiny.relative(scene.run(more), scene.run(people)) < 1e-6


def test_7_strength_zero_is_no_lora(scene):
    zero = two(scene, TextSees.OWN, strengths=[0.0, 0.0])
    assert torch.equal(scene.run(zero), scene.run(two(scene, TextSees.OWN, [{}, {}])))


def test_8_empty_masks_are_the_base_alone(scene):
    people = scene.people(torch.zeros(2, *scene.size))
    assert tiny.relative(scene.run(people), scene.plain(people.base)) < TOLERANCE


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_9_a_batch_is_its_pictures(scene, cfg):
    people = two(scene, TextSees.OWN)
    pair, single = (scene.run(people, batch=batch, cfg=cfg) for batch in (2, 1))
    assert tiny.relative(pair[:1], single) < TOLERANCE


def test_10_afterwards_the_model_is_as_before(scene):
    people = two(scene, TextSees.OWN)
    before = scene.plain(people.base)
    scene.run(people)
    assert torch.equal(scene.plain(people.base), before)
    assert not small.touched(scene.model)


def test_12_the_second_person_matters_and_lengths_are_free(scene):
    people = two(scene, TextSees.OWN)
    alone = dataclasses.replace(people, people=people.people[:1])
    assert tiny.relative(scene.run(people), scene.run(alone)) > 0.01
    assert people.method is Method.FUSED
