import gc
import os

import pytest
import torch
from ensemble_portraits.ensemble.lora.cache import TensorCache
from ensemble_portraits.ensemble.lora.files import LoraFileError, find_lora

KILOBYTE = {"a": torch.zeros(256)}


@pytest.fixture
def three(save):
    for name in "abc":
        save(f"{name}.safetensors", KILOBYTE)
    return [find_lora(name) for name in "abc"]


def test_a_file_is_read_once(three):
    cache = TensorCache(10_000)
    assert cache.load(three[0]) is cache.load(three[0])


def test_an_edited_file_is_read_again_and_its_old_tensors_go(three, save):
    cache = TensorCache(10_000)
    cache.load(three[0])
    path = save("a.safetensors", {"a": torch.ones(256)})
    os.utime(path, ns=(5, 5))
    assert cache.load(find_lora("a"))["a"][0] == 1
    assert len(cache) == 1


def test_the_least_recently_used_goes_first(three):
    cache = TensorCache(2048)
    first, second = cache.load(three[0]), cache.load(three[1])
    cache.load(three[0])
    cache.load(three[2])
    assert cache.bytes == 2048
    assert cache.load(three[0]) is first
    assert cache.load(three[1]) is not second


def test_one_file_larger_than_the_budget_is_kept_for_its_run(three):
    cache = TensorCache(10)
    cache.load(three[0])
    cache.load(three[1])
    assert len(cache) == 1


def test_the_last_lease_takes_the_files_with_it(three):
    cache = TensorCache(10_000)
    first, second = cache.lease(), cache.lease()
    cache.load(three[0])
    del first
    gc.collect()
    assert len(cache) == 1
    del second
    gc.collect()
    assert len(cache) == 0


def test_a_damaged_file_leaves_nothing_behind():
    cache = TensorCache(10_000)
    with pytest.raises(LoraFileError):
        cache.load(find_lora("truncated"))
    assert len(cache) == 0
