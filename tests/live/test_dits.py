"""DiT families through POST /prompt, from files that ComfyUI detects by itself: everybody with their
own LoRA file in one pass, core's LoraLoader as the oracle."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dev.base import PACK_FOLDER, engine_of_this_python, make_base
from dev.client import Client
from dev.server import Server

from .dit_files import FAMILIES, FULL_WIDTH, lora_of, weights_of

NODES = [Path(__file__).resolve().parent / name for name in ("small_texts.py", "small_shapes.py")]
LORAS = ("first", "second")


NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name in FULL_WIDTH else name for name in FAMILIES
]


class WithTexts(Server):
    """A server that loads the tests' nodes beside the pack."""

    def command(self) -> list[str]:
        command = super().command()
        at = command.index(PACK_FOLDER) + 1
        return [*command[:at], *(node.name for node in NODES), *command[at:]]


@dataclass
class Runner:
    client: Client
    base: Path
    models: Path

    def latent(self, graph: dict) -> torch.Tensor:
        before = set(self._files())
        run = self.client.run(graph)
        assert run.status == "success", run.error
        (made,) = set(self._files()) - before
        return load_file(made)["latent_tensor"]

    def _files(self) -> list[Path]:
        return list((self.base / "output").rglob("*.latent"))

    def prepare(self, name: str) -> None:
        file = self.models / "diffusion_models" / f"{name}.safetensors"
        if not file.exists():
            weights = weights_of(FAMILIES[name])
            save_file(weights, file)
            for seed, lora in enumerate(LORAS):
                save_file(
                    lora_of(weights, seed), self.models / "loras" / f"{name}_{lora}.safetensors"
                )


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="ensemble-dits-", ignore_cleanup_errors=True) as folder:
        models = Path(folder) / "models"
        for kind in ("diffusion_models", "loras"):
            (models / kind).mkdir(parents=True)
        small = Path(os.environ["ENSEMBLE_BASE"]) / "models"
        base = make_base(Path(folder) / "base", small.resolve())
        for node in NODES:
            shutil.copy(node, base / "custom_nodes" / node.name)
        more = {kind: [models / kind] for kind in ("diffusion_models", "loras")}
        with WithTexts(engine_of_this_python(), base, models=more) as running:
            yield Runner(Client(running.url), base, models)


def graph_of(name: str, painted: dict, source: str, cfg: float) -> dict:
    """The family's model and texts, `painted` in between, two steps, and the latent as a file."""
    family = FAMILIES[name]
    px = 16 if family.channels == 128 else 8
    latent = "EmptyFlux2LatentImage" if name == "flux2" else "EmptySD3LatentImage"
    return {
        "checkpoint": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "small_sd15.safetensors"},
        },
        "clip": {
            "class_type": "TestWideClip",
            "inputs": {
                "clip": ["checkpoint", 1], "width": family.width, "tokens": family.tokens,
            },
        },
        "model": {
            "class_type": "UNETLoader",
            "inputs": {"unet_name": f"{name}.safetensors", "weight_dtype": "default"},
        },
        **painted,
        "latent": {
            "class_type": latent,
            "inputs": {"width": 24 * px, "height": 16 * px, "batch_size": 1},
        },
        "sample": {
            "class_type": "KSampler",
            "inputs": {
                "model": [source, 0], "positive": ["positive", 0], "negative": ["negative", 0],
                "latent_image": ["latent", 0], "seed": 3, "steps": 2, "cfg": cfg,
                "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0,
            },
        },
        "save": {
            "class_type": "SaveLatent",
            "inputs": {"samples": ["sample", 0], "filename_prefix": f"latents/{name}"},
        },
    }  # fmt: skip


def regional(name: str, text: str, method: str, cfg: float = 1.0, **more) -> dict:
    graph = graph_of(name, {
        "people": {
            "class_type": "BreakRegionalPrompt",
            "inputs": {
                "model": ["model", 0], "clip": ["clip", 0], "text": text, "negative": "blurry",
                "method": method, "weights": "off", "base_strength": 0.2, "feather": 0.06,
                "layout": "columns", "order": "", "start": 0.0, "end": 1.0, "on_missing": "error",
                **more,
            },
        },
    }, "people", cfg)  # fmt: skip
    graph["sample"]["inputs"].update(positive=["people", 1], negative=["people", 2])
    return graph


def merged(name: str, text: str, lora: str | None, cfg: float = 1.0) -> dict:
    """The same by core: LoraLoader on the model, and plain texts."""
    painted = {
        side: {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": words}}
        for side, words in (("positive", text), ("negative", "blurry"))
    }
    if lora is not None:
        painted["lora"] = {
            "class_type": "LoraLoaderModelOnly",
            "inputs": {
                "model": ["model", 0], "strength_model": 1.0,
                "lora_name": f"{name}_{lora}.safetensors",
            },
        }  # fmt: skip
    return graph_of(name, painted, "lora" if lora else "model", cfg)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("cfg", [1.0, 4.0])
@pytest.mark.parametrize("name", NAMES)
def test_one_person_everywhere_is_cores_lora_loader(server, name, cfg):
    """Weights at full width are bfloat16: core rounds what it merges, we round nothing."""
    server.prepare(name)
    tolerance = 0.02 if name in FULL_WIDTH else 1e-5
    text = f"a hall BREAK BREAK a woman <lora:{name}_first:1>"
    boxes = "[[0, 0, 1, 1]]"
    wanted = server.latent(merged(name, "a woman", "first", cfg))
    plain = server.latent(merged(name, "a woman", None, cfg))
    assert relative(plain, wanted) > 0.1
    for method in ("fused", "exact"):
        graph = regional(name, text, method, cfg, boxes=boxes, base_strength=0.0, feather=0.0)
        assert relative(server.latent(graph), wanted) < tolerance


@pytest.mark.parametrize("name", NAMES)
def test_two_people_differ_from_one_and_from_exact(server, name):
    """Different people blend inside attention (fused) or as predictions (exact): near, not equal."""
    server.prepare(name)
    text = f"a hall BREAK BREAK a woman <lora:{name}_first:1> BREAK a man <lora:{name}_second:1>"
    fused, exact = (server.latent(regional(name, text, method)) for method in ("fused", "exact"))
    alone = server.latent(regional(name, text.rsplit(" BREAK", 1)[0], "fused"))
    assert torch.isfinite(fused).all()
    assert relative(fused, alone) > 0.05
    assert 0.001 < relative(fused, exact) < 1.0


@pytest.mark.parametrize("name", NAMES[-4:])
def test_each_person_has_their_own_negative_at_cfg_4(server, name):
    """One step of euler is linear in both sides of CFG: the picture at 4 is negative + 4 (positive -
    negative) of two runs at 1, one of them with the negatives as its text."""
    server.prepare(name)
    tags = [f"<lora:{name}_{lora}:1>" for lora in LORAS]
    text = f"a hall BREAK BREAK a woman {tags[0]} BREAK a man {tags[1]}"
    negative = "blurry BREAK BREAK ugly teeth BREAK a bad hat"
    as_text = f"blurry BREAK BREAK ugly teeth {tags[0]} BREAK a bad hat {tags[1]}"
    together, same, positive, other = (
        server.latent(one_step(regional(name, words, "fused", cfg, negative=against)))
        for words, against, cfg in (
            (text, negative, 4.0), (text, "blurry", 4.0), (text, "", 1.0), (as_text, "", 1.0),
        )
    )  # fmt: skip
    tolerance = 0.03 if name in FULL_WIDTH else 1e-4
    assert relative(together, other + 4.0 * (positive - other)) < tolerance
    assert relative(same, together) > 2 * tolerance


def one_step(graph: dict) -> dict:
    graph["sample"]["inputs"]["steps"] = 1
    return graph
