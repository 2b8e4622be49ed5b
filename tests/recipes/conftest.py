"""The machine of the tests as the compiler sees it, and ComfyUI's own check of a graph."""

import asyncio
import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "fixtures" / "recipes"
ALIASES = {
    "checkpoints": {
        "default": "small_sd15.safetensors",
        "f222-diffusion": "small_sd15.safetensors",
        "690204": "small_sd15.safetensors",
    },
    "loras": {
        "849330": "people/ohwx_first.safetensors",
        "861629": "people/ohwx_second.safetensors",
        "lcm": "people/ohwx_first.safetensors",
    },
    "images": {
        "2vxpjloxggnv9s4tw33ckn5xzdnp": "skeleton.png",
        "d6ff3soq5pok5tlbcanf599vkw06": "portrait.png",
    },
}


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory):
    """ComfyUI's node table with core's extras and ours, and an input and user folder of our own."""
    import ensemble_portraits
    import folder_paths
    from PIL import Image

    import nodes

    folder = tmp_path_factory.mktemp("comfyui")
    for name in ("skeleton.png", "portrait.png", "mask.png"):
        (folder / "input").mkdir(exist_ok=True)
        Image.new("RGB", (96, 64)).save(folder / "input" / name)
    path = folder / "user" / "default" / "ensemble" / "aliases.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(ALIASES))
    before = folder_paths.get_input_directory(), folder_paths.get_user_directory()
    folder_paths.set_input_directory(str(folder / "input"))
    folder_paths.set_user_directory(str(folder / "user"))
    asyncio.run(nodes.init_builtin_extra_nodes())
    extension = asyncio.run(ensemble_portraits.comfy_entrypoint())
    for node in asyncio.run(extension.get_node_list()):
        nodes.NODE_CLASS_MAPPINGS[node.GET_SCHEMA().node_id] = node
    yield
    folder_paths.set_input_directory(before[0])
    folder_paths.set_user_directory(before[1])


@pytest.fixture(scope="session")
def machine(comfyui):
    from ensemble_portraits.ensemble.server.library import this_machine

    return this_machine()


@pytest.fixture(scope="session")
def validate(comfyui):
    """ComfyUI's own validation, as POST /prompt runs it; asserts that it finds nothing."""
    import execution

    def check(graph: dict) -> None:
        copy = json.loads(json.dumps(graph))
        valid, error, outputs, node_errors = asyncio.run(
            execution.validate_prompt("test", copy, None)
        )
        assert valid, (error, node_errors)
        assert not node_errors
        assert outputs == ["save"]

    return check
