"""A picture of who is where: regions in colours, the pose map over them, a number on each person."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

_TINTS = np.array([
    (214, 76, 76), (76, 168, 92), (82, 120, 224), (214, 168, 60), (168, 84, 200), (64, 176, 184),
])  # fmt: skip


def preview(pose_map: np.ndarray, regions: torch.Tensor, longest: int = 768) -> np.ndarray:
    """uint8 RGB `[h,w,3]`, at most `longest` pixels a side, of a pose map `[H,W,3]` and its regions
    `[N,H,W]`. Each number stands where its person's region is surest."""
    tints = _TINTS[np.arange(len(regions)) % len(_TINTS)]
    # Half strength, so that the lines of the map stand out.
    ground = np.tensordot(regions.numpy(), tints, axes=(0, 0)) * 0.5 if len(regions) else 0.0
    drawn = pose_map.max(axis=-1, keepdims=True) > 40
    picture = Image.fromarray(np.where(drawn, pose_map, ground).clip(0, 255).astype(np.uint8))
    scale = min(1.0, longest / max(picture.size))
    if scale < 1.0:
        picture = picture.resize(
            (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        )
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(12, min(picture.size) // 14))
    weights = regions / regions.sum(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    across = (weights.sum(dim=1) * torch.arange(regions.shape[2])).sum(dim=1).tolist()
    down = (weights.sum(dim=2) * torch.arange(regions.shape[1])).sum(dim=1).tolist()
    for number, (x, y) in enumerate(zip(across, down, strict=True), start=1):
        pen.text((x * scale, y * scale), str(number), (255, 255, 255), font, anchor="mm",
                 stroke_width=3, stroke_fill=(0, 0, 0))  # fmt: skip
    return np.asarray(picture)
