"""The nodes the graph editor shows. Each module ends with its own NODES; this one joins them."""

from . import (
    cast,
    face_fix,
    face_swap,
    faces,
    film,
    hires,
    lora,
    mask,
    panorama,
    pose,
    regional,
    safety,
    sampler,
    text,
)

NODES: list = [
    *cast.NODES,
    *face_fix.NODES,
    *face_swap.NODES,
    *faces.NODES,
    *film.NODES,
    *hires.NODES,
    *lora.NODES,
    *mask.NODES,
    *panorama.NODES,
    *pose.NODES,
    *regional.NODES,
    *safety.NODES,
    *sampler.NODES,
    *text.NODES,
]
