"""Boxes of core's canvas, KJNodes and Impact Pack for Break Regional Prompt, and its people for them."""

from comfy_api.latest import io

from ..ensemble.regions.exchange import read_places
from ..ensemble.regions.places import (
    Size,
    as_bounding_boxes,
    as_elements,
    as_segs,
    as_text,
    masks_of,
    text_of,
)
from .types import People
from .widgets import advanced, choice, decimal, whole

CORNERS = "left, top, right, bottom"
SIDES = "left, top, width, height"


class EnsembleBoxes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleBoxes",
            display_name="Boxes of People",
            category="Ensemble",
            description="Takes the boxes that other nodes draw, find or describe, and gives them as "
            "regions, boxes and text of Break Regional Prompt; and the other way round.",
            search_aliases=[
                "bounding box", "bbox", "SEGS", "elements", "layout prompt", "boxes to regions",
                "mask to boxes", "ideogram", "convert boxes",
            ],
            inputs=[
                io.MultiType.Input(
                    "boxes",
                    [
                        io.BoundingBox, io.Array, io.Mask, io.Custom("SEGS"), io.Custom("BBOX"),
                        People, io.String,
                    ],
                    tooltip="Of core's Create Bounding Boxes (bboxes or elements), a detector, "
                    "KJNodes' canvas, Impact Pack's SEGS, masks, people of Break Regional Prompt, or "
                    "JSON as text. A box per person, in the order of the prompt.",
                ),
                whole(
                    "width", 1024, (16, 16384),
                    "Of the picture that the boxes are drawn for. Elements, SEGS and masks know it.",
                ),
                whole("height", 1024, (16, 16384), "Of the picture that the boxes are drawn for."),
                io.String.Input(
                    "scene", multiline=True, default="",
                    tooltip="Scene, and behind a BREAK what is common to all: the beginning of text.",
                ),
                *advanced(
                    decimal(
                        "feather", 0.06, (0.0, 0.5),
                        "Softness of the regions' borders, in parts of the picture. Masks stay as "
                        "they are.",
                    ),
                    choice(
                        "four_numbers", (CORNERS, SIDES),
                        "What the numbers of a BBOX are (KJNodes writes both); other forms say it.",
                    ),
                ),
            ],
            outputs=[
                io.Mask.Output("regions", display_name="regions", tooltip="A mask per person."),
                io.String.Output(
                    "boxes_text", display_name="boxes", tooltip="For the input boxes, as text."
                ),
                io.String.Output(
                    "text", display_name="text",
                    tooltip="The scene, and what is said of each box as a person's part.",
                ),
                io.BoundingBox.Output("bboxes", display_name="bboxes", tooltip="In pixels."),
                io.Array.Output(
                    "elements", display_name="elements",
                    tooltip="With words, for core's Create Bounding Boxes and layout prompts.",
                ),
                io.Custom("SEGS").Output(
                    "segs", display_name="SEGS", tooltip="For the detailers of Impact Pack."
                ),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, *, boxes, width, height, scene, feather, four_numbers) -> io.NodeOutput:
        if four_numbers not in (CORNERS, SIDES):
            raise ValueError(
                f"Input 'four_numbers' is {four_numbers!r} and must be {CORNERS!r} or {SIDES!r}."
            )
        size = Size(width, height)
        places = read_places(boxes, size, corners=four_numbers == CORNERS)
        masks = masks_of(places, size, feather)
        return io.NodeOutput(
            masks, as_text(places), text_of(places, scene), as_bounding_boxes(places, size),
            as_elements(places), as_segs(places, masks),
            ui={"text": [f"{len(places)} {'box' if len(places) == 1 else 'boxes'} in {width}x{height}"]},
        )  # fmt: skip


NODES: list = [EnsembleBoxes]
