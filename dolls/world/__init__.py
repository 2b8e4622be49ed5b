"""Pictures of one to three drawn people, with everything a test may ask about them.

NumPy and Pillow only. The same seed gives the same scene and the same picture everywhere.
"""

from .contact import KINDS, contact_scene
from .identity import identity_scores
from .people import IDENTITIES, Identity, Person
from .picture import draw, person_masks
from .pose_map import bodies, skeleton
from .scenes import SIZES, Scene, make_scene

__all__ = [
    "IDENTITIES",
    "KINDS",
    "SIZES",
    "Identity",
    "Person",
    "Scene",
    "bodies",
    "contact_scene",
    "draw",
    "identity_scores",
    "make_scene",
    "person_masks",
    "skeleton",
]
