"""The nodes the graph editor shows. Each module ends with its own NODES; this one joins them."""

from . import (
    boxes,
    cast,
    face_fix,
    face_swap,
    faces,
    film,
    followed,
    hires,
    leak,
    lora,
    mask,
    panorama,
    pose,
    regional,
    safety,
    sampler,
    text,
)  # fmt: skip

NODES: list = [
    node
    for module in (
        boxes, cast, face_fix, face_swap, faces, film, followed, hires, leak, lora, mask, panorama, pose,
        regional, safety, sampler, text,
    )
    for node in module.NODES
]  # fmt: skip
