from collections.abc import Callable, Iterator
from pathlib import Path

import folder_paths
import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture
def loras_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that ComfyUI looks for LoRAs in, before the small models."""
    folder = tmp_path / "loras"
    folder.mkdir()
    folder_paths.add_model_folder_path("loras", str(folder), is_default=True)
    yield folder
    folder_paths.folder_names_and_paths["loras"][0].remove(str(folder))


@pytest.fixture
def user_folder(tmp_path: Path) -> Iterator[Path]:
    """A user directory of the test's own: the alias file goes into default/ensemble/ in it."""
    before = folder_paths.get_user_directory()
    folder = tmp_path / "user"
    (folder / "default" / "ensemble").mkdir(parents=True)
    folder_paths.set_user_directory(str(folder))
    yield folder
    folder_paths.set_user_directory(before)


@pytest.fixture
def save(loras_folder: Path) -> Callable[..., Path]:
    """Writes a LoRA of one tiny layer, or of given tensors, into `loras_folder`."""

    def write(name: str, tensors=None, metadata: dict[str, str] | None = None) -> Path:
        path = loras_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors or {"layer.lora_down.weight": torch.ones(2, 3)}, path, metadata)
        return path

    return write


@pytest.fixture(scope="session")
def small_model():
    """(ModelPatcher, CLIP) of the small SD1.5-shaped checkpoint, in float32."""
    import comfy.sd

    path = folder_paths.get_full_path_or_raise("checkpoints", "small_sd15.safetensors")
    options = {"dtype": torch.float32}
    model, clip, _, _ = comfy.sd.load_checkpoint_guess_config(
        path, output_vae=False, model_options=options, te_model_options=options
    )
    return model, clip
