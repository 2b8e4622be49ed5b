"""Group pictures whose faces are known, a VAE that only averages, and faces by hand."""

import numpy as np
import torch
from ensemble_portraits.ensemble.faces.boxes import Face
from ensemble_portraits.ensemble.pose.skeleton import Pose, Skeleton, write_pose_keypoint
from ensemble_portraits.ensemble.regions.body18 import Joint
from ensemble_portraits.ensemble.regions.rect import Rect
from PIL import Image

# The face of scikit-image's astronaut, 512x512, brows to chin, read off by eye.
ASTRONAUT = Face.at(170, 62, 272, 180)
# Her nose, eyes and ears likewise; x, y.
JOINTS = {
    Joint.NOSE: (220, 130), Joint.NECK: (230, 215), Joint.R_EYE: (197, 108),
    Joint.L_EYE: (243, 108), Joint.R_EAR: (178, 118), Joint.L_EAR: (268, 118),
    Joint.R_SHOULDER: (130, 250), Joint.L_SHOULDER: (330, 240),
}  # fmt: skip


def astronaut() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut())


def group(face_sizes: list[float], cell: int = 512) -> tuple[torch.Tensor, list[Face], list]:
    """Astronauts side by side, every second one mirrored, each with a face of so many px in height.

    IMAGE, the true faces left to right, and POSE_KEYPOINT of the true heads.
    """
    canvas = np.full((cell, cell * len(face_sizes), 3), 128, dtype=np.uint8)
    faces, skeletons = [], []
    for i, wanted in enumerate(face_sizes):
        scale = wanted / ASTRONAUT.box.height
        side = min(cell, round(512 * scale))
        photo = astronaut().resize((side, side), Image.Resampling.LANCZOS)
        left, top = i * cell + (cell - side) // 2, (cell - side) // 2
        ratio = side / 512
        body = np.zeros((18, 3))
        for joint, (x, y) in JOINTS.items():
            body[joint] = (x * ratio, y * ratio, 1.0)
        box = ASTRONAUT.box.scaled(ratio, ratio)
        if i % 2:
            photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            box = Rect.pixels(side - box.right, box.top, side - box.left, box.bottom)
            body[:, 0] = np.where(body[:, 2] > 0, side - body[:, 0], 0)
        canvas[top : top + side, left : left + side] = np.asarray(photo)
        faces.append(Face(box.moved(left, top)))
        skeletons.append(Skeleton.of(body).moved((1.0, 1.0), (left, top)))
    height, width = canvas.shape[:2]
    pose = write_pose_keypoint([Pose(width, height, tuple(skeletons))])
    return torch.from_numpy(canvas).float()[None] / 255, faces, pose


class AveragingVae:
    """Four channels of 8x8 means: grey, and a few more numbers so that decoding is smooth."""

    def __init__(self, shift: float = 0.0, clamp: bool = True):
        self.shift, self.clamp = shift, clamp

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        planes = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)
        return torch.cat([planes, planes.mean(1, keepdim=True)], 1) * 2 - 1

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        planes = torch.nn.functional.interpolate(latent[:, :3], scale_factor=8, mode="bilinear")
        planes = (planes + 1) / 2 + self.shift
        return (planes.clamp(0, 1) if self.clamp else planes).movedim(1, -1)
