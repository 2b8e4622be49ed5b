"""Drawn people, and where the nodes think they are from nothing but their pose map."""

import random

import numpy as np
from ensemble_portraits.ensemble.pose.read import read
from ensemble_portraits.ensemble.pose.skeleton import write_pose_keypoint
from ensemble_portraits.ensemble.regional.placement import Placement, PlacementRequest, place

from dolls.world import Scene, make_scene, skeleton


def group(seed: int) -> Scene:
    """Two or three people."""
    return make_scene(random.Random(seed), count=2 + seed % 2)


def placement(scene: Scene) -> Placement:
    """Of the scene's people from left to right, which is the order they are drawn in."""
    pose = write_pose_keypoint([read(np.asarray(skeleton(scene)))])
    return place(PlacementRequest(people=len(scene.people), pose=pose))
