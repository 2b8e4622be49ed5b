"""Face restoration networks on aligned crops: GFPGAN, RestoreFormer and CodeFormer's layout."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import folder_paths
import numpy as np
import torch

from ..models.loading import Loaded, load_once, manage
from ..pictures import rgb
from .align import CROP, WHOLE_CROP, carry, crop_matrix, inverse, oval, window
from .boxes import Face
from .choices import RESTORER_FOLDERS

# The networks take and give -1..1, so says each one's own inference code. The call that spandrel
# offers scales for RestoreFormer alone, so the network itself is called here.
_ARCHITECTURES = ("GFPGAN", "RestoreFormer", "CodeFormer")
# GFPGAN's decoder draws noise for fine texture; this makes a picture come out the same every time.
_NOISE_SEED = 0


@dataclass(frozen=True)
class Restorer:
    """A restoration network under ComfyUI's memory management."""

    loaded: Loaded
    # spandrel's name of it.
    architecture: str

    @torch.inference_mode()
    def __call__(self, crop: torch.Tensor) -> torch.Tensor:
        """A face crop `[3,512,512]` in 0..1 -> the same restored, on the crop's device."""
        # What core's upscaler reserves for a 512 px tile of float32.
        net, device = self.loaded.on_device(memory=CROP * CROP * 3 * 4 * 384.0)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(_NOISE_SEED)
            restored = net(crop[None].to(device, torch.float32) * 2 - 1)[0]
        return ((restored[0] + 1) / 2).clamp(0, 1).to(crop.device)


def load_restorer(name: str) -> Restorer:
    """The network of a file that `restorers` lists, read once while the file stays the same.

    Raises ValueError for a file that is damaged or of another kind.
    """
    folder = next(
        (each for each in RESTORER_FOLDERS if name in folder_paths.get_filename_list(each)),
        RESTORER_FOLDERS[0],
    )
    path = Path(folder_paths.get_full_path_or_raise(folder, name))
    return load_once("face restoration", path, lambda path: _read(path, f"models/{folder}/{name}"))


def _read(path: Path, shown: str) -> Restorer:
    from comfy import model_management, utils
    from spandrel import ModelLoader, UnsupportedModelError, canonicalize_state_dict

    try:
        weights = canonicalize_state_dict(utils.load_torch_file(str(path), safe_load=True))
        found = ModelLoader().load_from_state_dict(weights)
        kind = f"is {found.architecture.name}, no face restoration model"
    except UnsupportedModelError:
        found, kind = None, "is of no known kind"
    except Exception as error:  # torch, safetensors and spandrel raise half a dozen types
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"model: {shown} is damaged or incomplete ({reason}). Download it again."
        ) from error
    if found is None or found.architecture.id not in _ARCHITECTURES:
        hint = ""
        if "codeformer" in path.name.lower():
            hint = " CodeFormer is read where the package spandrel_extra_arches is installed."
        raise ValueError(
            f"model: {shown} {kind}. GFPGAN v1.3, v1.4 and RestoreFormer will do.{hint}"
        )
    loaded = manage(
        found.model,
        load_device=model_management.get_torch_device(),
        offload_device=model_management.unet_offload_device(),
    )
    return Restorer(loaded, found.architecture.id)


def restore_faces(
    image: torch.Tensor,
    faces: list[list[Face]],
    restore: Callable[[torch.Tensor], torch.Tensor],
    strength: float,
) -> torch.Tensor:
    """IMAGE `[B,H,W,C]` with each face put through `restore`, `[3,512,512]` -> the same.

    `faces` per picture, in pixels. What the network changes is carried back onto the picture, so
    that detail finer than its 512 pixels stays, and a network that changes nothing leaves the
    picture as it is. Pixels outside the faces' ovals, alpha, and everything at strength 0, are the
    input's bit for bit.
    """
    if strength == 0 or not any(faces):
        return image
    from comfy import model_management, utils

    progress = utils.ProgressBar(sum(len(row) for row in faces))
    result = image.clone()
    mask = oval()
    for index, row in enumerate(faces):
        source = rgb(image[index]).movedim(-1, 0).float()
        for face in row:
            model_management.throw_exception_if_processing_interrupted()
            matrix = crop_matrix(face)
            crop = carry(source, inverse(matrix), WHOLE_CROP).clamp(0, 1)
            change = restore(crop) - crop
            paste(result[index], source, change, mask.to(change.device) * strength, matrix)
            progress.update(1)
    return result


def paste(
    target: torch.Tensor,
    source: torch.Tensor,
    change: torch.Tensor,
    weight: torch.Tensor,
    matrix: np.ndarray,
) -> None:
    """Blend `source` `[3,H,W]` plus the change of a crop `[3,s,s]` into `target` `[H,W,C]`, in
    place.

    `matrix` takes the picture to the crop, `weight` `[1,s,s]` 0..1 is how much of the change
    shows.
    """
    height, width = source.shape[1:]
    place = window(matrix, weight.shape[-1], width, height)
    if place is None:
        return
    layers = torch.cat([change, weight])
    carried = carry(layers, matrix, place, padding="zeros")
    share = carried[3:].clamp(0, 1)
    below = place.cut(target[..., :3].movedim(-1, 0))
    changed = (place.cut(source) + carried[:3]).clamp(0, 1)
    blended = torch.lerp(below.float(), changed, share).to(target.dtype)
    below.copy_(torch.where(share > 0, blended, below))
