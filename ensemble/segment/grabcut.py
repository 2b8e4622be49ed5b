"""GrabCut: the last resort for `foreground`. It learns from this one picture's colours."""

import importlib.util

import numpy as np
import torch
import torch.nn.functional as F

from ..pictures import to_bytes
from ..regions.rect import Rect
from .backend import Backend, Job, Sockets, Softness, ranks

# GrabCut runs at these long sides, whatever the picture's, and the majority decides: one run alone
# now and then settles on quite another cut for a hardly different picture, such as the same photo
# at twice the size.
WORK_SIZES = tuple(range(160, 305, 16))
ROUNDS = 3
# Pixels of the largest of them: takes the stairs out of the votes.
SMOOTH = 1.5


def find(sockets: Sockets) -> bool | None:
    return True if importlib.util.find_spec("cv2") else None


def segment(found: bool, job: Job) -> torch.Tensor:
    from kornia.filters import gaussian_blur2d

    faces = _faces(job)
    largest = _work_size(WORK_SIZES[-1], job)
    cuts = [_cut_at(size, job, faces) for size in WORK_SIZES]
    votes = torch.stack([F.interpolate(cut, largest, mode="bilinear") for cut in cuts]).mean(dim=0)
    votes = gaussian_blur2d(votes, (11, 11), (SMOOTH, SMOOTH), border_type="replicate")
    votes = F.interpolate(votes, job.size, mode="bicubic")[:, 0]
    # Two thirds of the votes are 1, one third is 0; between them is the soft edge.
    return ((votes - 0.5) * 3 + 0.5).clamp(0, 1).expand(len(job.words), -1, -1, -1)


def _work_size(long_side: int, job: Job) -> tuple[int, int]:
    height, width = job.size
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _cut_at(long_side: int, job: Job, faces: list[list[Rect]]) -> torch.Tensor:
    """`[B,1,h,w]`, cut with the pictures' long side at so many pixels."""
    from comfy import model_management

    small = _work_size(long_side, job)
    scale = long_side / max(job.size)
    pictures = F.interpolate(job.image.movedim(-1, 1), small, mode="bilinear", antialias=True)
    masks = []
    for picture, found in zip(to_bytes(pictures.movedim(1, -1)), faces, strict=True):
        model_management.throw_exception_if_processing_interrupted()
        boxes = [box.scaled(scale, scale) for box in found]
        masks.append(torch.from_numpy(cut(picture.numpy(), boxes)))
    return torch.stack(masks)[:, None]


def _faces(job: Job) -> list[list[Rect]]:
    """Boxes in pixels per picture; none where there is no detector."""
    from .mediapipe_face import face_boxes, find

    detector = find(job.sockets)
    if detector is None:
        return [[] for _ in job.image]
    return [[box.rect for box in boxes] for boxes in face_boxes(detector, job.image)]


def seed(height: int, width: int, faces: list[Rect]) -> np.ndarray:
    """Where GrabCut starts, in its own codes `[H,W]`: sure and likely foreground and background.

    With faces: head and shoulders below each, in the proportions of a portrait. Without: an
    upright figure in the middle that stands on the lower border.
    """
    from cv2 import GC_BGD, GC_FGD, GC_PR_BGD, GC_PR_FGD

    codes = np.full((height, width), GC_PR_BGD, np.uint8)
    y, x = np.mgrid[:height, :width] + 0.5
    sure = 0.5 if faces else 0.0
    faces = faces or [Rect.fractions(0.41, 0.14, 0.59, 0.38).as_pixels(width=width, height=height)]
    border = max(1, round(0.02 * min(height, width)))
    codes[:border] = codes[:, :border] = codes[:, -border:] = GC_BGD
    # Each pixel's place in each face: from its middle, in its widths and heights.
    places = [
        ((x - face.centre[0]) / face.width, (y - face.centre[1]) / face.height) for face in faces
    ]
    for across, down in places:
        # Hair and hat reach beyond the landmarks' box; shoulders are about three faces wide.
        head = (across / 0.9) ** 2 + ((down + 0.15) / 1.0) ** 2 < 1
        shoulders = (down > 0.6) & (np.abs(across) < 0.6 + 0.8 * np.minimum(down - 0.6, 1.2))
        codes[head | shoulders] = GC_PR_FGD
    for across, down in places:
        codes[across**2 + down**2 < sure**2] = GC_FGD
    return codes


def cut(picture: np.ndarray, faces: list[Rect]) -> np.ndarray:
    """Foreground of one picture `[H,W,3]` uint8 as 0 or 1, float32 `[H,W]`."""
    import cv2

    height, width = picture.shape[:2]
    codes = seed(height, width, faces)
    pixels = np.ascontiguousarray(picture[..., ::-1])
    models = np.zeros((1, 65)), np.zeros((1, 65))
    # GrabCut starts its colour clusters at random; the same picture shall give the same mask.
    cv2.setRNGSeed(0)
    cv2.grabCut(pixels, codes, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.isin(codes, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)


BACKEND = Backend(
    id="grabcut",
    title="GrabCut",
    files=(),
    licence="Apache-2.0 (OpenCV)",
    softness=Softness.EDGE,
    fit=ranks({"foreground": 0.5, "person": 0.1}),
    find=find,
    segment=segment,
    caution="GrabCut guesses the foreground from colours around the faces or the centre; "
    "a background-removal model is far better",
)
