import hashlib
import json
import os
import pickle

import pytest
import torch
from ensemble_portraits.ensemble.lora.aliases import alias_path
from ensemble_portraits.ensemble.lora.files import (
    LoraFileError,
    files_fingerprint,
    find_lora,
    folder_fingerprint,
    load_tensors,
    parse_metadata,
    read_hashes,
    read_metadata,
)
from safetensors.torch import load_file


def test_metadata_of_a_file_as_trainers_write_it():
    metadata = read_metadata(find_lora("ohwx_first"))
    assert metadata.base_model == "sd_v1"
    assert metadata.triggers == ("ohwx woman",)
    assert metadata.title == "ohwx_first"


def test_a_file_without_metadata_says_nothing():
    metadata = read_metadata(find_lora("peft"))
    assert (metadata.base_model, metadata.triggers, metadata.title) == ("", (), "")


def frequency(**folders: dict[str, int]) -> str:
    return json.dumps(folders)


@pytest.mark.parametrize(
    ("raw", "triggers"),
    [
        ({"modelspec.trigger_phrase": " ohwx man "}, ("ohwx man",)),
        # The phrase is what its author chose; tags are a guess.
        ({"modelspec.trigger_phrase": "x", "ss_tag_frequency": frequency(f={"y": 9})}, ("x",)),
        ({"ss_tag_frequency": frequency(f={"rare": 3, "sks": 20, "solo ": 19})}, ("sks", "solo")),
        ({"ss_tag_frequency": frequency(a={"x": 5}, b={"x": 5, "y": 5})}, ("x", "y")),
        (
            {
                "ss_tag_frequency": frequency(f={"often": 12, "now and then": 8}),
                "ss_dataset_dirs": json.dumps({"f": {"n_repeats": 10, "img_count": 20}}),
            },
            ("often",),
        ),
        (
            {
                "ss_tag_frequency": frequency(f={"a": 20, "b": 11}),
                "ss_dataset_dirs": json.dumps({"f": {"img_count": 11}}),
            },
            ("a", "b"),
        ),
        # No captions: the folder of the data set has the words.
        ({"ss_tag_frequency": json.dumps({"10_ohwx woman": {}})}, ("ohwx woman",)),
        ({"ss_tag_frequency": json.dumps({"img": {}})}, ()),
        ({"ss_tag_frequency": "{"}, ()),
        ({"ss_tag_frequency": "[]"}, ()),
        ({"ss_tag_frequency": json.dumps({"f": {"x": "many"}, "g": 3})}, ()),
        ({}, ()),
    ],
)
def test_trigger_words(raw, triggers):
    assert parse_metadata(raw).triggers == triggers


def test_triggers_stay_few():
    raw = {"ss_tag_frequency": frequency(f={f"tag {i}": 10 for i in range(50)})}
    assert len(parse_metadata(raw).triggers) == 5


@pytest.mark.parametrize(
    ("raw", "base"),
    [
        ({"ss_base_model_version": "sd_v1", "modelspec.architecture": "x/lora"}, "sd_v1"),
        (
            {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"},
            "stable-diffusion-xl-v1-base",
        ),
        ({"ss_sd_model_name": "model.ckpt"}, "model.ckpt"),
    ],
)
def test_base_model(raw, base):
    assert parse_metadata(raw).base_model == base


def test_hashes_are_of_the_whole_file_and_of_what_follows_the_header(save):
    tensors = {"a": torch.arange(6.0), "b": torch.ones(2, 2)}
    path = save("x.safetensors", tensors, {"title": "one"})
    found = read_hashes(find_lora("x"))
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    assert found.autov2 == hashlib.sha256(content).hexdigest()[:10]
    assert found.autov3 == hashlib.sha256(content[header:]).hexdigest()[:12]
    # What the two are for: a new title changes one, the same tensors keep the other.
    save("x.safetensors", tensors, {"title": "another"})
    edited = read_hashes(find_lora("x"))
    assert edited.autov2 != found.autov2 and edited.autov3 == found.autov3


def test_tensors_are_the_files(save):
    path = save("x.safetensors", {"a": torch.arange(6.0).half()})
    loaded = load_tensors(find_lora("x"))
    assert loaded.keys() == load_file(path).keys()
    assert torch.equal(loaded["a"], torch.arange(6.0).half())


def test_a_pickled_file_is_read_safely_and_has_one_hash(loras_folder):
    torch.save({"a": torch.ones(2)}, loras_folder / "old.pt")
    file = find_lora("old")
    assert torch.equal(load_tensors(file)["a"], torch.ones(2))
    assert read_metadata(file).triggers == ()
    assert read_hashes(file).autov3 == "" and len(read_hashes(file).autov2) == 10


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil_was_here",)


def test_code_in_a_pickled_file_does_not_run(loras_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, loras_folder / "evil.pt")
    (loras_folder / "worse.ckpt").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("evil", "worse"):
        with pytest.raises(LoraFileError, match="incomplete or not a LoRA"):
            load_tensors(find_lora(name))
    assert not (tmp_path / "evil_was_here").exists()


def test_a_truncated_file_is_a_clear_error():
    file = find_lora("truncated")
    for read in (load_tensors, read_metadata):
        with pytest.raises(LoraFileError, match=r"'bad.truncated.safetensors' .* is incomplete"):
            read(file)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"<!DOCTYPE html><p>404</p>", b"\xff" * 64])
def test_what_is_no_safetensors_file_is_a_clear_error(content, loras_folder):
    (loras_folder / "page.safetensors").write_bytes(content)
    for read in (load_tensors, read_metadata):
        with pytest.raises(LoraFileError, match=r"page\.safetensors.*Download or copy it again"):
            read(find_lora("page"))


def test_an_edit_changes_the_fingerprint_and_a_touched_alias_file_too(save, user_folder):
    path = save("x.safetensors")
    one, folder = files_fingerprint([find_lora("x")]), folder_fingerprint()
    assert files_fingerprint([find_lora("x")]) == one and folder_fingerprint() == folder
    os.utime(path, ns=(1, 1))
    assert files_fingerprint([find_lora("x")]) != one
    edited = folder_fingerprint()
    assert edited != folder
    alias_path().write_text("{}")
    assert folder_fingerprint() != edited
