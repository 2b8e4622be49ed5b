"""Whose face is whose, on pictures where every face and its owner are known."""

import random
from dataclasses import replace

import pytest
import tiny
import torch
from drawn import group, placement
from ensemble_portraits.ensemble.faces.boxes import Face
from ensemble_portraits.ensemble.faces.choices import Source
from ensemble_portraits.ensemble.faces.detect import Sources, find_faces
from ensemble_portraits.ensemble.faces.match import assign
from ensemble_portraits.ensemble.pose.skeleton import Pose, Skeleton, write_pose_keypoint

from dolls.world import Person, Scene, bodies

pytestmark = pytest.mark.long


def true_face(person: Person) -> Face:
    """Brows to chin, ear to ear."""
    (x, y), r = person.all_joints[-1], person.head_radius
    return Face.at(x - 0.8 * r, y - 0.45 * r, x + 0.8 * r, y + r)


def people(scene: Scene, heads: bool):
    found = placement(scene)
    made = tiny.people(tiny.model(), [{}] * len(scene.people), found.regions)
    if not heads:
        return made
    members = zip(made.people, found.heads, strict=True)
    return replace(made, people=tuple(replace(p, head=head) for p, head in members))


@pytest.mark.parametrize("heads", [True, False], ids=["heads", "regions"])
def test_every_face_goes_to_its_own_person_even_when_one_is_missed(heads):
    """In any order, whoever's face the detector overlooked, by heads or by regions alone."""
    rng = random.Random(7)
    for seed in range(15):
        scene = group(seed)
        known = people(scene, heads)
        owners = list(range(len(scene.people)))
        rng.shuffle(owners)
        faces = [true_face(scene.people[i]) for i in owners]
        assert assign(faces, known, *scene.size) == owners, f"scene {seed}"
        for missed in range(len(owners)):
            rest = [f for k, f in enumerate(faces) if k != missed]
            wanted = [o for k, o in enumerate(owners) if k != missed]
            assert assign(rest, known, *scene.size) == wanted, f"scene {seed}"


def test_faces_found_by_the_pose_lie_on_the_faces():
    for seed in range(15):
        scene = group(seed)
        width, height = scene.size
        skeletons = tuple(Skeleton.of(body) for body in bodies(scene))
        pose = write_pose_keypoint([Pose(width, height, skeletons)])
        image = torch.zeros(1, height, width, 3)
        found = find_faces(image, Sources(pose=pose), Source.POSE)[0]
        assert len(found) == len(scene.people)
        for person, face in zip(scene.people, found, strict=True):
            wanted = true_face(person)
            shared = face.box.shared_area(wanted.box)
            union = face.box.area + wanted.box.area - shared
            assert shared / union > 0.5, f"scene {seed}"
