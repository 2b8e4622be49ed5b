"""Small model folders, empty model folders, and a picture."""

import os
from pathlib import Path

import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

FOLDERS = ("segmentation", "background_removal", "detection", "checkpoints")


@pytest.fixture(scope="session")
def small_models() -> Path:
    """`models/segmentation` with the small folders of `dev/models/segmenters.py`."""
    return Path(os.environ["ENSEMBLE_BASE"]) / "models" / "segmentation"


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut()).resize((320, 256), Image.Resampling.LANCZOS)


@pytest.fixture(scope="session")
def image(picture) -> torch.Tensor:
    """The picture and its mirror image, `[2,256,320,3]`, as LoadImage gives them."""
    both = np.stack([np.asarray(picture), np.asarray(picture)[:, ::-1]])
    return torch.from_numpy(both.astype(np.float32) / 255)


@pytest.fixture
def model_folders(tmp_path, monkeypatch) -> Path:
    """Empty model folders in place of the real ones, for one test."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        extensions = folder_paths.folder_names_and_paths[name][1]
        monkeypatch.setitem(
            folder_paths.folder_names_and_paths, name, ([str(tmp_path / name)], extensions)
        )
        monkeypatch.delitem(folder_paths.filename_list_cache, name, raising=False)
    folder_paths.cache_helper.clear()
    yield tmp_path
    for name in FOLDERS:
        folder_paths.filename_list_cache.pop(name, None)


class FakeFaces:
    """A FACE_DETECTION_MODEL that finds one face in every picture: core's nodes around it are
    real, the trained detector within it is not. Its landmarks lie on ellipses."""

    box = (120.0, 60.0, 60.0, 80.0)

    def __init__(self):
        from comfy_extras.mediapipe.face_geometry import transformation_matrix_from_detection

        assert transformation_matrix_from_detection
        self.connection_sets = {
            "face_oval": self._ring(0, 36),
            "lips": self._ring(40, 10),
            "left_eye": self._ring(60, 8),
            "right_eye": self._ring(80, 8),
            "irises": self._ring(100, 4),
        }
        count = 468
        self.canonical_data = {
            "canonical_vertices": np.random.default_rng(0).normal(size=(count, 3)),
            "procrustes_indices": np.arange(10, dtype=np.int32),
            "procrustes_weights": np.ones(10, np.float32),
        }

    @staticmethod
    def _ring(start: int, count: int) -> frozenset:
        return frozenset((start + i, start + (i + 1) % count) for i in range(count))

    def _landmarks(self) -> np.ndarray:
        left, top, width, height = self.box
        points = np.full((478, 2), (left + width / 2, top + height / 2), np.float32)
        for start, count, x, y, share in (
            (0, 36, 0.5, 0.5, 0.5),
            (40, 10, 0.5, 0.75, 0.12),
            (60, 8, 0.3, 0.4, 0.08),
            (80, 8, 0.7, 0.4, 0.08),
            (100, 4, 0.3, 0.4, 0.03),
        ):
            turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
            points[start : start + count, 0] = left + width * (x + share * np.cos(turn))
            points[start : start + count, 1] = top + height * (y + share * np.sin(turn))
        return points

    def detect_batch(self, images, num_faces, score_thresh, variant):
        left, top, width, height = self.box
        face = {
            "bbox_xyxy": np.array([left, top, left + width, top + height], np.float32),
            "blendshapes": {},
            "landmarks_xy": self._landmarks(),
            "landmarks_3d": np.random.default_rng(1).normal(size=(478, 3)).astype(np.float32),
            "presence": 1.0,
            "score": 0.9,
        }
        return [[dict(face)] for _ in images]


@pytest.fixture
def fake_faces() -> FakeFaces:
    return FakeFaces()
