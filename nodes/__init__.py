"""The nodes the graph editor shows. Each module ends with its own NODES; this one joins them."""

from . import faces, film, hires, lora, mask, panorama, pose, regional, safety, sampler, text

NODES: list = [
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
