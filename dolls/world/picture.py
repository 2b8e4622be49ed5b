"""A scene as a picture, and who is where in it to the pixel."""

import random

import numpy as np
from PIL import Image

from .brush import Brush
from .figure import outline_of, paint_arms, paint_person
from .people import Person
from .places import paint_place
from .scenes import Scene


def draw(scene: Scene, scale: int = 2) -> Image.Image:
    """The picture, RGB; painted at `scale` times its size and reduced, which smooths edges."""
    width, height = scene.size
    image = Image.new("RGB", (width * scale, height * scale))
    brush = Brush(image, scale)
    paint_place(brush, scene.place, scene.size, random.Random(scene.seed))
    for person in scene.people:
        paint_person(brush, person)
    for index in scene.arms_over:
        _arms_again(brush, scene.people[index])
    return image.reduce(scale)


def person_masks(scene: Scene) -> np.ndarray:
    """`[people,H,W]` of bool: everyone's visible part, with hair, clothes, outline and stool."""
    image = Image.new("L", scene.size)
    for number, person in enumerate(scene.people, 1):
        paint_person(Brush(image, 1, flat=number), person)
    for index in scene.arms_over:
        _arms_again(Brush(image, 1, flat=index + 1), scene.people[index])
    owner = np.asarray(image)
    return np.stack([owner == number for number in range(1, len(scene.people) + 1)])


def _arms_again(brush: Brush, person: Person) -> None:
    brush.outline = outline_of(person)
    paint_arms(brush, person)
