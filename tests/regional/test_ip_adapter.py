"""A picture per person on UNets, by an IP-Adapter. The oracle is the published formula, written out here
with the same random weights (Ye et al. 2023, and the authors' own projection modules)."""

import dataclasses

import folder_paths
import pytest
import tiny
import torch
from comfy.clip_vision import ClipVisionModel
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.compose import compose
from ensemble_portraits.ensemble.regional.image_prompts import ImagePrompt
from ensemble_portraits.ensemble.regional.ip_adapter import (
    image_prompt,
    load_ip_adapter,
    read_ip_adapter,
)
from ensemble_portraits.ensemble.regional.isolation import Isolation
from ensemble_portraits.ensemble.regional.people import Method
from ensemble_portraits.ensemble.regional.references import Readers
from ensemble_portraits.ensemble.regional.settings import Settings
from published import VISION, Random, adapter_of, drawn, photo, plain, sees
from safetensors.torch import save_file

TOLERANCE = 1e-5
METHODS = list(Method)
LAYOUTS = ("base", "plus")


@pytest.fixture(scope="module")
def vision():
    made = ClipVisionModel(VISION)
    drawn(made.model, 7)
    return made


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def model(request):
    return tiny.model(tiny.SD15 if request.param == "sd15" else tiny.SDXL)


def pooled(model) -> int | None:
    return 64 if model.model.model_config.unet_config.get("num_classes") else None


def people_of(model, masks, states=None, **more):
    states = [{}] * len(masks) if states is None else states
    return tiny.people(model, states, masks, pooled=pooled(model), **more)


def shown(people, images):
    members = zip(people.people, images, strict=True)
    return dataclasses.replace(
        people, people=tuple(dataclasses.replace(p, image=image) for p, image in members)
    )


def prompt(model, adapter: Random, vision, seed: int, strength: float = 0.8) -> ImagePrompt:
    return image_prompt(
        read_ip_adapter("it", *adapter.halves()), vision, model, photo(seed), strength
    )


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_person_everywhere_is_the_published_formula(model, vision, layout, method, batch):
    adapter = adapter_of(model, layout)
    people = people_of(model, torch.ones(1, 64, 96), base_strength=0.0, method=method)
    wanted = plain(
        model, adapter, sees(vision, layout, photo(1)), people.people[0], 0.8, batch=batch
    )
    without = tiny.sample(*build(people)[:3], batch=batch)
    people = shown(people, [prompt(model, adapter, vision, 1)])
    assert tiny.relative(without, wanted) > 0.02
    assert tiny.relative(tiny.sample(*build(people)[:3], batch=batch), wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_with_a_lora_it_is_the_formula_on_the_merged_model(model, vision, method):
    adapter, state = adapter_of(model, "plus"), tiny.lora(model, 3)
    people = people_of(model, torch.ones(1, 64, 96), [state], base_strength=0.0, method=method)
    wanted = plain(
        tiny.merged(model, state), adapter, sees(vision, "plus", photo(1)), people.people[0], 0.8
    )
    people = shown(people, [prompt(model, adapter, vision, 1)])
    assert tiny.relative(tiny.sample(*build(people)[:3]), wanted) < 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_strength_zero_and_nobody_with_a_picture_are_the_run_without(model, vision, method):
    adapter = adapter_of(model, "base")
    people = people_of(model, tiny.columns(2), method=method)
    without = tiny.sample(*build(people)[:3])
    image = prompt(model, adapter, vision, 1, 0.0)
    assert torch.equal(tiny.sample(*build(shown(people, [image, None]))[:3]), without)


@pytest.mark.parametrize("method", METHODS)
def test_twins_with_the_same_picture_are_one_person(model, vision, method):
    adapter = adapter_of(model, "plus")
    people = people_of(model, tiny.columns(2, feather=12), base_strength=0.0, method=method)
    first = people.people[0]
    people = dataclasses.replace(
        people,
        people=tuple(dataclasses.replace(first, region=p.region) for p in people.people),
    )
    wanted = plain(model, adapter, sees(vision, "plus", photo(1)), first, 0.8)
    people = shown(people, [prompt(model, adapter, vision, 1)] * 2)
    assert tiny.relative(tiny.sample(*build(people)[:3]), wanted) < 1e-4


def test_in_every_cross_attention_a_picture_acts_in_its_region_alone(model, vision, monkeypatch):
    from ensemble_portraits.ensemble.regional.attention import RegionalAttention

    adapter = adapter_of(model, "plus")
    people = people_of(model, tiny.columns(2))
    people = shown(people, [prompt(model, adapter, vision, 1), prompt(model, adapter, vision, 2)])
    other = prompt(model, adapter, vision, 9)
    combine, told = RegionalAttention._combine, []

    def both(self, block, q, plain, attend, grid, *more):
        out = combine(self, block, q, plain, attend, grid, *more)
        kept, self.images = self.images, (other, self.images[1])
        changed = (combine(self, block, q, plain, attend, grid, *more) != out).any(2).any(0)
        self.images = kept
        left = changed.view(grid)[:, : grid[1] // 2]
        told.append((bool(left.all()), bool(changed.view(grid)[:, grid[1] // 2 :].any())))
        return out

    monkeypatch.setattr(RegionalAttention, "_combine", both)
    tiny.sample(*build(people)[:3])
    assert told and set(told) == {(True, False)}


def test_people_with_and_without_a_picture_in_one_call_per_step(model, vision):
    adapter = adapter_of(model, "base")
    people = people_of(
        model, tiny.columns(2), [tiny.lora(model, 1), {}], isolation=Isolation(0.5),
        tokens=[77, 77, 154],
    )  # fmt: skip
    run = build(shown(people, [None, prompt(model, adapter, vision, 2)]))
    calls = []

    def count(executor, *args, **kwargs):
        calls.append(len(args[0]))
        return executor(*args, **kwargs)

    from comfy.patcher_extension import WrappersMP

    run.model.add_wrapper(WrappersMP.APPLY_MODEL, count)
    assert tiny.sample(*run[:3]).isfinite().all()
    assert calls == [2, 2, 2]


class Words:
    def tokenize(self, text, **_):
        return {"l": [[(text, 1.0)]]}

    def encode_from_tokens_scheduled(self, tokens):
        return [[torch.ones(1, 77, tiny.CONTEXT), {}]]


def composed(model, readers, references=1):
    return compose(
        model, Words(), text="s BREAK BREAK a BREAK b", negative="", settings=Settings(),
        references=torch.cat([photo(i) for i in range(references)]), readers=readers,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    entry = ([str(tmp_path)], folder_paths.supported_pt_extensions)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "ipadapter", entry)
    return tmp_path


def saved(folder, name, adapter: Random):
    projection, layers = adapter.halves()
    if name.endswith(".bin"):
        torch.save({"image_proj": projection, "ip_adapter": layers}, folder / name)
    else:
        flat = {f"image_proj.{k}": v for k, v in projection.items()}
        flat |= {f"ip_adapter.{k}": v for k, v in layers.items()}
        save_file({k: v.contiguous().clone() for k, v in flat.items()}, folder / name)


@pytest.mark.parametrize("name", ["it.safetensors", "it.bin"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_both_forms_are_read_and_composed(vision, folder, layout, name):
    model = tiny.model()
    adapter = adapter_of(model, layout)
    saved(folder, name, adapter)
    assert load_ip_adapter(name).plus == (layout == "plus")
    people = composed(model, Readers(None, name, vision, 0.8))
    first, second = people.people
    assert second.image is None and "a reference picture" in "".join(people.notes)
    for block, pair in prompt(model, adapter, vision, 0).pairs.items():
        for mine, wanted in zip(first.image.pairs[block], pair, strict=True):
            assert torch.allclose(mine, wanted)


def test_what_is_missing_or_of_another_model_is_said(vision, folder):
    model = tiny.model()
    with pytest.raises(ValueError, match=r"'ip_adapter' is none: Stable Diffusion takes"):
        composed(model, Readers(vision=vision))
    saved(folder, "it.safetensors", adapter_of(model, "plus"))
    with pytest.raises(ValueError, match="'clip_vision' is not connected"):
        composed(model, Readers(ip_adapter="it.safetensors"))
    with pytest.raises(ValueError, match=r"it.safetensors is for another model.*SD1.5 or SDXL"):
        composed(tiny.model(tiny.SDXL), Readers(None, "it.safetensors", vision))
    small = ClipVisionModel({**VISION, "hidden_size": 32})
    with pytest.raises(
        ValueError, match=r"makes vectors of 32 numbers, and it.safetensors reads 48"
    ):
        composed(model, Readers(None, "it.safetensors", small))
    (folder / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad.safetensors cannot be read"):
        composed(model, Readers(None, "bad.safetensors", vision))


@pytest.mark.parametrize(
    "change",
    [
        lambda projection, layers: (
            projection,
            {**layers, "1.to_q_lora.down.weight": torch.ones(1)},
        ),
        lambda projection, layers: ({"proj.0.weight": torch.ones(1)}, layers),
        lambda projection, layers: (projection, {}),
    ],
    ids=["face id", "full face", "a lora"],
)
def test_other_layouts_are_refused_by_name(change):
    halves = adapter_of(tiny.model(), "base").halves()
    with pytest.raises(ValueError, match=r"it is no IP-Adapter of the base or plus layout"):
        read_ip_adapter("it", *change(*halves))
