"""The cache of parsed files goes when ComfyUI frees its memory: core's own executor, its own reset."""

import gc

import execution
import pytest
from comfy_extras.nodes_preview_any import PreviewAny
from ensemble_portraits.ensemble.lora.cache import TENSORS
from ensemble_portraits.nodes.lora import MultiLoraLoader
from server import PromptServer

import nodes


class Quiet:
    """What the executor asks of a server when nobody is connected."""

    client_id = None
    last_node_id = None

    def send_sync(self, *_):
        pass

    def send_progress_text(self, *_):
        pass


def graph(strengths: str) -> dict:
    return {
        "checkpoint": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "small_sd15.safetensors"},
        },
        "loras": {
            "class_type": "MultiLoraLoader",
            "inputs": {"model": ["checkpoint", 0], "loras": "ganyu-lora", "strengths": strengths},
        },
        "report": {"class_type": "PreviewAny", "inputs": {"source": ["loras", 4]}},
    }


@pytest.fixture
def executor(monkeypatch):
    monkeypatch.setattr(PromptServer, "instance", Quiet(), raising=False)
    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "MultiLoraLoader", MultiLoraLoader)
    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "PreviewAny", PreviewAny)
    limits = {"lru": 0, "ram": 0.1, "ram_inactive": 0.1}
    return execution.PromptExecutor(Quiet(), execution.CacheType.CLASSIC, limits)


def test_parsed_files_stay_between_runs_and_go_with_cores_cache(executor):
    TENSORS.clear()
    for strengths in ("1", "0.5"):
        executor.execute(graph(strengths), "id", {}, ["report"])
        assert executor.success
        assert len(TENSORS) == 1
    # What main.py does for /free {"free_memory": true}.
    executor.reset()
    gc.collect()
    assert len(TENSORS) == 0
