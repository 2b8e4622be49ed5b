"""GrabCut on drawn people, whose outlines are known to the pixel."""

import random

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.regions import masks
from ensemble_portraits.ensemble.segment import grabcut
from ensemble_portraits.ensemble.segment.backend import Job

from dolls.world import draw, make_scene, person_masks

pytestmark = pytest.mark.long

pytest.importorskip("cv2")


def test_single_people_are_cut_out_wherever_they_stand():
    """Any hair, clothes and place. The worst stand before trees that are as dark as they are; the
    middle of them is what the last resort can be trusted with."""
    shares = []
    for seed in range(8):
        scene = make_scene(random.Random(seed), count=1, shape="portrait")
        image = torch.from_numpy(np.asarray(draw(scene)).astype(np.float32) / 255)[None]
        found = grabcut.segment(True, Job(image=image, words=("foreground",), threshold=0.5))[0]
        found = masks.drop_islands(masks.fill_holes(found, 0.02), 0.02)[0].numpy() > 0.5
        true = person_masks(scene)[0]
        shares.append((found & true).sum() / (found | true).sum())
        assert found[true].mean() > 0.7, f"scene {seed}"
    assert np.median(shares) > 0.85
