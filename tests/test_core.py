"""What moved in ComfyUI, told in two seconds: the private parts that the pack relies on."""

import ast
import importlib
import os
import re
from pathlib import Path

import comfy.lora
import pytest
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock, SpatialTransformer
from ensemble_portraits.ensemble import core
from ensemble_portraits.ensemble.regional.families.unet import STABLE_DIFFUSION

ROOT = Path(__file__).resolve().parent.parent
COMFYUI = ("comfy", "comfy_execution", "comfy_extras", "execution", "folder_paths", "latent_preview",
           "nodes", "server")  # fmt: skip
"""Its packages and modules, save the public API."""


def test_the_architecture_lists_what_is_used():
    """Whoever takes up a new ComfyUI reads there what to look for."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([\w.]+)` \| (`.+`) \|$", text, re.MULTILINE)
    found = {(module, name) for module, names in listed for name in re.findall(r"`(\w+)`", names)}
    used = set().union(*(parts_of_comfyui(path) for path in sources()))
    rows = {module: sorted(n for m, n in used if m == module) for module, _ in sorted(used)}
    assert found == used, "\n".join(
        f"| `{module}` | {', '.join(f'`{name}`' for name in names)} |"
        for module, names in rows.items()
    )
    gone = [(m, n) for m, n in sorted(used) if not hasattr(importlib.import_module(m), n)]
    assert not gone


def sources() -> list[Path]:
    rooms = (path for room in ("ensemble", "nodes") for path in (ROOT / room).rglob("*.py"))
    return [ROOT / "__init__.py", *rooms]


def parts_of_comfyui(path: Path) -> set[tuple[str, str]]:
    """(module, name) of everything of ComfyUI outside its public API that a file imports or reaches
    through an imported module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    chains, meant = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                meant[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                meant[alias.asname or first] = alias.name if alias.asname else first
    chains.update(meant.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            base, _, rest = ast.unparse(node).partition(".")
            if base in meant and re.fullmatch(r"[\w.]+", rest):
                chains.add(f"{meant[base]}.{rest}")
    ours = (chain for chain in chains if chain.split(".")[0] in COMFYUI)
    return {part for chain in ours if (part := split(chain))}


def split(chain: str) -> tuple[str, str] | None:
    """The module that a dotted name begins with, and the name in it; None where it is a module only."""
    place = Path(os.environ["COMFYUI_PATH"])
    names = chain.split(".")
    for number, name in enumerate(names):
        place /= name
        if not (place.is_dir() or place.with_suffix(".py").is_file()):
            return ".".join(names[:number]), name
    return None


def instance(name: str):
    module, kind = name.split(":")
    return getattr(importlib.import_module(module), kind)


@pytest.fixture(scope="module")
def tiny():
    import sys
    from pathlib import Path

    sys.path.append(str(Path(__file__).resolve().parent / "regional"))
    import tiny

    return tiny


CLIP_VISION = {
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 14,
    "intermediate_size": 8, "patch_size": 14, "num_channels": 3, "hidden_act": "gelu",
    "projection_dim": 4, "model_type": "clip_vision_model",
}  # fmt: skip


@pytest.mark.parametrize("name", core.USED_ATTRIBUTES)
def test_attributes(name, tiny):
    patcher = tiny.model()
    things = {
        "ClipVisionModel": lambda: instance(name)(CLIP_VISION),
        "ControlNet": lambda: instance(name)(None),
        "BaseModel": lambda: patcher.model,
        "ModelPatcher": lambda: patcher,
    }
    thing = things[name.split(":")[1]]()
    assert isinstance(thing, instance(name))
    assert [a for a in core.USED_ATTRIBUTES[name] if not hasattr(thing, a)] == []


def load(**tensors):
    (adapter,) = comfy.lora.load_lora(
        {f"x.{key.replace('__', '.')}": value for key, value in tensors.items()}, {"x": "key"}
    ).values()
    return core.factors_of(adapter)


def numbered(value: float) -> torch.Tensor:
    return torch.full((2, 2), value)


def test_positions_in_a_lora():
    factors = load(
        lora_up__weight=numbered(1), lora_down__weight=numbered(2), alpha=torch.tensor(3.0),
        lora_mid__weight=numbered(4), dora_scale=numbered(5), reshape_weight=torch.tensor([6, 7]),
    )  # fmt: skip
    assert isinstance(factors, core.LoraFactors)
    assert [float(t[0, 0]) for t in (factors.up, factors.down)] == [1, 2]
    assert (factors.alpha, float(factors.mid[0, 0]), float(factors.dora_scale[0, 0])) == (3, 4, 5)
    assert factors.reshape == [6, 7]


def test_positions_in_a_loha():
    names = ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")
    factors = load(
        **{f"hada_{name}": numbered(i) for i, name in enumerate(names)},
        alpha=torch.tensor(9.0), dora_scale=numbered(8),
    )  # fmt: skip
    assert isinstance(factors, core.LohaFactors)
    assert [float(getattr(factors, name)[0, 0]) for name in names] == list(range(6))
    assert (factors.alpha, float(factors.dora_scale[0, 0])) == (9, 8)


def test_positions_in_a_lokr():
    names = ("w1", "w2", "w1_a", "w1_b", "w2_a", "w2_b", "t2")
    factors = load(
        **{f"lokr_{name}": numbered(i) for i, name in enumerate(names)},
        alpha=torch.tensor(9.0), dora_scale=numbered(8),
    )  # fmt: skip
    assert isinstance(factors, core.LokrFactors)
    assert [float(getattr(factors, name)[0, 0]) for name in names] == list(range(7))
    assert (factors.alpha, float(factors.dora_scale[0, 0])) == (9, 8)


def test_positions_in_a_patchers_patches(tiny):
    patcher = tiny.model()
    key = "diffusion_model.input_blocks.1.1.proj_in.weight"
    patcher.add_patches({(key, (0, 0, 8)): ("diff", (numbered(1),))}, 0.5, 0.25)
    patch = core.WeightPatch(*patcher.patches[key][0])
    assert (patch.strength, patch.model_strength, patch.offset) == (0.5, 0.25, (0, 0, 8))
    assert patch.patch[0] == "diff" and patch.function is None


def test_merging_is_that_of_a_loaded_model(tiny):
    patcher = tiny.model().clone()
    key = "diffusion_model.input_blocks.1.1.proj_in.weight"
    patcher.add_patches({key: tiny.parsed(patcher, tiny.lora(patcher, 1))[key]}, 0.3)
    patches = [core.WeightPatch(*p) for p in patcher.patches[key]]
    weight = patcher.model.state_dict()[key]
    wanted = patcher.patch_weight_to_device(key, return_weight=True)
    before = weight.clone()
    assert torch.allclose(core.merged_weight(weight, patches, key), wanted)
    assert torch.equal(weight, before)


def test_options_of_an_attention_replacement_and_the_executor(tiny):
    """What core tells inside a forward pass: rows by uuid, the transformer's shape, the block."""
    from comfy.patcher_extension import WrappersMP

    patcher, seen = tiny.model().clone(), {}

    def replaced(q, k, v, options):
        seen.update(options)
        return torch.zeros_like(q)

    def wrapper(executor, *args, **kwargs):
        seen["class_obj"] = executor.class_obj
        return executor(*args, **kwargs)

    patcher.set_model_attn2_replace(replaced, "middle", 0, 0)
    patcher.add_wrapper(WrappersMP.DIFFUSION_MODEL, wrapper)
    text = tiny.text(1).conditioning
    with torch.no_grad():
        tiny.sample(patcher, text, text, steps=1)
    assert set(core.ATTENTION_OPTIONS) <= set(seen)
    assert seen["class_obj"] is patcher.model.diffusion_model
    assert len(seen["uuids"]) == len(seen["cond_or_uncond"]) == 2


def test_blocks_are_where_core_looks_them_up(tiny):
    """Every block's key in `patches_replace` is that under which core finds a replacement."""
    patcher = tiny.model().clone()
    blocks = list(STABLE_DIFFUSION.cross_attentions(patcher.model.diffusion_model))
    called = []
    for block in blocks:
        patcher.set_model_attn2_replace(
            lambda q, k, v, options, key=block.key: called.append(key) or torch.zeros_like(q),
            *block.key,
        )
    text = tiny.text(1).conditioning
    with torch.no_grad():
        tiny.sample(patcher, text, text, steps=1)
    assert sorted(called) == sorted(block.key for block in blocks)
    modules = patcher.model.diffusion_model.modules()
    assert len(blocks) == sum(isinstance(m, BasicTransformerBlock) for m in modules)
    assert any(isinstance(m, SpatialTransformer) for m in patcher.model.diffusion_model.modules())
