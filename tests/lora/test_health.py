"""Bad files: each is a clear error, or a warning, before anything is sampled."""

import logging
import os
import re

import pytest
import torch
from ensemble_portraits.ensemble.lora import health
from ensemble_portraits.ensemble.lora.adapters import KeyMap
from ensemble_portraits.ensemble.lora.cache import TENSORS
from ensemble_portraits.ensemble.lora.files import LoraFile, LoraFileError
from ensemble_portraits.ensemble.lora.merge import LoraChoice, LoraMismatchError, read
from safetensors.torch import save_file

LAYERS = ("first", "second", "third")
KEYS = KeyMap(
    {f"net.{n}": f"net.{n}.weight" for n in LAYERS},
    {f"net.{n}.weight": torch.Size((16, 8)) for n in LAYERS},
)


def layer(name: str, rank: int = 4, alpha: float | None = 4.0, width: int = 8) -> dict:
    out = {
        f"{name}.lora_down.weight": torch.ones(rank, width),
        f"{name}.lora_up.weight": torch.ones(16, rank),
    }
    return out if alpha is None else {**out, f"{name}.alpha": torch.tensor(alpha)}


def whole(**first) -> dict:
    return {**layer("net.first", **first), **layer("net.second"), **layer("net.third")}


@pytest.fixture
def reading(tmp_path):
    TENSORS.clear()

    def of(tensors: dict, size: int | None = None):
        path = tmp_path / "ann.safetensors"
        save_file(tensors, path)
        status = os.stat(path)
        file = LoraFile(path.name, str(path), status.st_mtime_ns, size or status.st_size)
        (found,), lines = read(LoraChoice(file, 1.0, 1.0), [KEYS], "SD15 model")
        return found, lines

    yield of
    TENSORS.clear()


@pytest.mark.parametrize("rank", [1, 4, 1024])
def test_any_rank_is_good(reading, rank):
    found, lines = reading(whole(rank=rank))
    assert len(found.adapters) == 3 and lines == []


def test_files_without_any_alpha_are_good(reading):
    """PEFT writes none."""
    tensors = {k: v for k, v in whole().items() if not k.endswith("alpha")}
    assert reading(tensors)[1] == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float8_e5m2])
def test_numbers_that_are_not_finite_are_refused(reading, value, dtype):
    tensors = whole()
    tensors["net.second.lora_up.weight"][3, 2] = value
    tensors = {k: v.to(dtype) if v.ndim else v for k, v in tensors.items()}
    with pytest.raises(LoraFileError, match=r"ann\.safetensors.*not finite, in 1 of 9.*second"):
        reading(tensors)


def test_a_large_sum_of_finite_numbers_is_good():
    assert health._finite(torch.full((64, 64), 3e38))


@pytest.mark.parametrize(("first", "line"), [
    ({"alpha": 0.0}, "alpha is 0 in 1 of 3 layers"),
    ({"alpha": None}, "1 of 3 layers have no alpha"),
    ({"width": 12}, "1 layers have another shape.*net.first.weight"),
])  # fmt: skip
def test_what_is_hardly_meant_is_said(reading, first, line, caplog):
    with caplog.at_level(logging.WARNING):
        found, lines = reading(whole(**first))
    assert len(lines) == 1 and re.search(line, lines[0])
    assert lines[0] in caplog.text
    assert len(found.adapters) == (2 if "width" in first else 3)


def test_ranks_that_do_not_meet_are_left_out(reading):
    tensors = whole()
    tensors["net.first.lora_up.weight"] = torch.ones(16, 3)
    found, lines = reading(tensors)
    assert list(found.adapters) == ["net.second.weight", "net.third.weight"]
    assert "another shape" in lines[0]


@pytest.mark.parametrize("part", ["lora_down.weight", "lora_up.weight"])
def test_half_a_layer(reading, part):
    """Core looks for up first; a down alone it does not see."""
    tensors = whole()
    del tensors[f"net.first.{part}"]
    if part == "lora_down.weight":
        with pytest.raises(LoraFileError, match=r"incomplete.*net\.first\.lora_down.*missing"):
            reading(tensors)
    else:
        assert len(reading(tensors)[0].adapters) == 2


def test_a_lokr_or_loha_without_a_side(reading):
    for parts in ({"lokr_w1": (4, 4)}, {"hada_w1_a": (16, 2), "hada_w1_b": (2, 8)}):
        tensors = {**whole(), **{f"net.first.{k}": torch.ones(s) for k, s in parts.items()}}
        with pytest.raises(LoraFileError, match="incomplete"):
            reading(tensors)


def test_a_file_for_two_models(reading):
    """Half of it fits: the other half's model is named."""
    other = {}
    for i in range(4):
        other |= layer(f"lora_unet_blocks_{i}_attn_wq")
    _, lines = reading({**whole(), **other})
    assert "only 9 of 21 keys" in lines[0] and "Krea 2" in lines[0]


def test_a_file_for_another_model(reading):
    with pytest.raises(LoraMismatchError, match=r"none of the 3 keys.*look like those of Krea 2"):
        reading(layer("lora_unet_blocks_0_attn_wq"))


def test_two_gigabytes_for_one_person_are_said(reading):
    _, lines = reading(whole(), size=2 << 30)
    assert lines == ["LoRA 'ann.safetensors' is large: 2.1 GB beside the model"]
