"""BREAK prompts: several people, each with their own text, LoRA and region, in one sampling run."""

from enum import Enum
from typing import TypeVar

import folder_paths
from comfy_api.latest import io

from ..ensemble.lora.cache import TENSORS
from ..ensemble.lora.choose import fingerprint, requests_of
from ..ensemble.prompt.emphasis import Weights
from ..ensemble.prompt.reading import read_prompt
from ..ensemble.regional.follow import Follow
from ..ensemble.regional.isolation import Isolation
from ..ensemble.regional.people import Method, TextSees
from ..ensemble.regional.reference_pictures import files_state
from ..ensemble.regional.rows import Span
from ..ensemble.regional.settings import Settings, check
from ..ensemble.regions.drawn import drawn_masks, read_drawn
from ..ensemble.regions.layout import Layout
from .types import People, PoseKeypoint
from .widgets import advanced, optional, share

Choice = TypeVar("Choice", bound=Enum)
NO_CHOICE = "none"
EXAMPLE = "two friends in a park BREAK photo, detailed skin BREAK a woman BREAK a man"


def _adapters() -> list[str]:
    return [NO_CHOICE, *folder_paths.get_filename_list("ipadapter")]


class BreakRegionalPrompt(io.ComfyNode):
    def __init__(self) -> None:
        self.lease = TENSORS.lease()  # parsed LoRAs live as long as ComfyUI keeps this node

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="BreakRegionalPrompt",
            display_name="Break Regional Prompt",
            category="Ensemble",
            description="One text, split by BREAK into scene, common and a part per person. Every "
            "person gets their own words and LoRA in their own region, in one sampling run.",
            search_aliases=[
                "regional prompt", "multi person", "multiple characters", "BREAK", "lora per person",
                "attention couple", "regional lora", "two characters", "two people", "several people",
                "several characters", "group of people", "character lora", "one lora per character",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model everybody is painted with."),
                io.Clip.Input("clip", tooltip="Its text encoder; LoRAs act on it too."),
                io.String.Input(
                    "text", multiline=True, dynamic_prompts=True, default=EXAMPLE,
                    tooltip="scene BREAK common BREAK person 1 BREAK person 2 … The common part "
                    "is added to everyone and may be empty. <lora:name:weight> in a person's part "
                    "acts on that person; in scene or common on everyone. <ref:name> in a person's "
                    "part is their picture, from the input folder.",
                ),
                io.String.Input(
                    "negative", multiline=True, dynamic_prompts=True, default="",
                    tooltip="For everyone, or split by BREAK in the same way.",
                ),
                io.Mask.Input(
                    "regions", optional=True,
                    tooltip="One mask per person in prompt order (or one for all). If not connected, "
                    "regions come from the pose, else everyone gets an equal column.",
                ),
                PoseKeypoint.Input(
                    "pose", optional=True,
                    tooltip="Skeletons: regions are drawn around them, left to right in prompt "
                    "order.",
                ),
                io.Combo.Input(
                    "method", options=Method, default=Method.FUSED, advanced=True,
                    tooltip="fused: all people in one pass, about as fast as one. exact: batch "
                    "rows per person as core's LoRA hooks compute it; slower, nothing shared "
                    "between people.",
                ),
                io.Combo.Input(
                    "weights", options=Weights, default=Weights.A1111, advanced=True,
                    tooltip="How (emphasis:1.2) is computed; off takes brackets as plain text.",
                ),
                io.Float.Input(
                    "base_strength", default=0.2, min=0.0, max=1.0, step=0.05, advanced=True,
                    tooltip="How much the scene's text says inside people's regions.",
                ),
                io.Float.Input(
                    "feather", default=0.06, min=0.0, max=0.5, step=0.01, advanced=True,
                    tooltip="Softness of borders, in torso lengths of a pose or parts of the "
                    "picture. Masks given as regions are used as they are.",
                ),
                io.Combo.Input(
                    "layout", options=Layout, default=Layout.COLUMNS, advanced=True,
                    tooltip="Where people stand without regions and pose.",
                ),
                io.String.Input(
                    "order", default="", advanced=True,
                    tooltip="Who stands where from left to right, such as 2,1; empty is prompt "
                    "order. Given regions are in prompt order already. A sign + puts somebody in front where "
                    "people overlap (2,1+); with ++ their arms may hide faces.",
                ),
                io.Float.Input(
                    "start", default=0.0, min=0.0, max=1.0, step=0.01, advanced=True,
                    tooltip="Part of sampling (0 to 1) at which people begin; before it the scene "
                    "composes alone.",
                ),
                io.Float.Input(
                    "end", default=1.0, min=0.0, max=1.0, step=0.01, advanced=True,
                    tooltip="Part of sampling at which people end.",
                ),
                io.Combo.Input(
                    "on_missing", options=["error", "skip"], default="error", advanced=True,
                    tooltip="skip leaves out LoRAs you do not have, to open other people's "
                    "workflows; what was skipped is shown.",
                ),
                io.String.Input(
                    "boxes", optional=True, default="", advanced=True,
                    tooltip="Regions drawn by hand: a box per person in prompt order, as JSON "
                    "[[x, y, width, height], …] in parts of the picture from 0 to 1. They win over "
                    "regions and pose. Where boxes overlap, a larger fifth number is in front. "
                    '{"ellipse": [x, y, width, height]} and {"lasso": [[x, y], …]} are round and free.',
                ),
                io.Combo.Input(
                    "text_sees", options=TextSees, default=TextSees.OWN, optional=True,
                    advanced=True,
                    tooltip="On models whose words and picture share one attention (Z-Image, "
                    "Krea 2, Flux, Qwen-Image): whether a person's words look at that person's own "
                    "region or at all of the picture. Try all where hard seams show.",
                ),
                *optional(*advanced(
                    share(
                        "isolate", 0.0,
                        "How much one person's places are kept from looking at another's, so "
                        "that features do not wander. 0 leaves it open, 1 closes it. For method fused.",
                        step=0.05,
                    ),
                    share("isolate_start", 0.0, "Part of sampling (0 to 1) at which isolate begins."),
                    share(
                        "isolate_end", 0.5,
                        "Part of sampling at which isolate ends. Closed to the end, a picture "
                        "tends to fall into several.",
                    ),
                )),
                io.Boolean.Input(
                    "place_words", default=False, optional=True, advanced=True,
                    tooltip="Completes the scene's text with everybody's place (On the left: a "
                    "woman. On the right: a man.), for models whose text encoder reads sentences: "
                    "Z-Image, Krea 2, Flux, Qwen-Image, Anima, SD3. Nothing is added on others.",
                ),
                io.Image.Input(
                    "references", optional=True,
                    tooltip="A picture per person, in prompt order, for people without <ref:NAME> in "
                    "their part. Each acts in that person's region alone. For models that take "
                    "reference pictures: Flux Kontext, Flux.2, Qwen-Image-Edit, Krea 2 with a LoRA, and "
                    "SD1.5 and SDXL by ip_adapter.",
                ),
                io.Vae.Input(
                    "vae", optional=True,
                    tooltip="The model's VAE, which encodes reference pictures; not needed without.",
                ),
                io.Combo.Input(
                    "ip_adapter", options=_adapters(), default=NO_CHOICE, optional=True,
                    advanced=True,
                    tooltip="SD1.5 and SDXL: the IP-Adapter by which they take reference pictures, a "
                    "file in models/ipadapter of the base or plus layout.",
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True,
                    tooltip="The CLIP vision model that the IP-Adapter was made for: ViT-H for most.",
                ),
                io.Float.Input(
                    "image_strength", default=1.0, min=0.0, max=3.0, step=0.05, optional=True,
                    advanced=True,
                    tooltip="How strongly the IP-Adapter's pictures act. 0 not at all.",
                ),
                *optional(*advanced(
                    share(
                        "follow", 0.0,
                        "How much regions are drawn in to the silhouettes that the half-painted "
                        "picture shows: 0 leaves them, 1 takes the silhouettes. For method fused, one "
                        "picture at a time; Followed Regions hands them on.",
                        step=0.05,
                    ),
                    share(
                        "follow_start", 0.2,
                        "Part of sampling (0 to 1) from which regions are drawn in, at every step.",
                    ),
                    share("follow_end", 0.5, "Part of sampling from which they stay as they are."),
                )),
            ],
            outputs=[
                io.Model.Output(tooltip="For any sampler; the linked model stays as it is."),
                io.Conditioning.Output("positive", display_name="positive", tooltip="For sampling."),
                io.Conditioning.Output("negative", display_name="negative", tooltip="For sampling."),
                People.Output(
                    "people", display_name="people",
                    tooltip="Everybody with text, LoRA and region, for FaceInpaint and EnsembleHires.",
                ),
                io.Mask.Output(
                    "regions", display_name="regions", tooltip="Each person's place, in prompt order."
                ),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(
        cls, text=None, negative=None, weights=None, order=None, start=None, end=None,
        on_missing=None, boxes=None, isolate=None, isolate_start=None, isolate_end=None, follow=None,
        follow_start=None, follow_end=None,
    ):  # fmt: skip
        # What is linked is None here, and is checked when it arrives.
        try:
            settings = Settings(
                weights=_one_of(Weights, "weights", weights or Weights.OFF),
                order=order or "",
                start=0.0 if start is None else start,
                end=1.0 if end is None else end,
                skip_missing=_skips(on_missing or "skip"),
                isolation=_window(Isolation, isolate, isolate_start, isolate_end),
                follow=_window(Follow, follow, follow_start, follow_end),
            )
            people = None
            if text is not None:
                people = len(check(text, negative or "", settings).prompt.people)
            read_drawn(boxes or "", people)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, text=None, negative=None, weights=None, order=None, **_):
        """Changes when a LoRA file or a picture named in the text is edited or replaced."""
        if text is None:
            return fingerprint(None)
        reading = read_prompt(text, negative or "", weights or Weights.OFF, order or "")
        pictures = files_state(reading.parts[2:])
        return fingerprint(requests_of(reading.tags, "text")) + pictures

    @classmethod
    def execute(
        cls, *, model, clip, text, negative, method, weights, base_strength, feather, layout, order,
        start, end, on_missing, regions=None, pose=None, boxes="", text_sees=TextSees.OWN,
        isolate=0.0, isolate_start=0.0, isolate_end=0.5, place_words=False, references=None, vae=None,
        ip_adapter=NO_CHOICE, clip_vision=None, image_strength=1.0, follow=0.0, follow_start=0.2,
        follow_end=0.5,
    ) -> io.NodeOutput:  # fmt: skip
        # The engine and its families would take a third of the time that the pack takes to load.
        from ..ensemble.regional.build import build
        from ..ensemble.regional.compose import compose
        from ..ensemble.regional.references import Readers

        settings = Settings(
            method=_one_of(Method, "method", method), weights=_one_of(Weights, "weights", weights),
            base_strength=base_strength, feather=feather,
            layout=_one_of(Layout, "layout", layout), order=order, start=start, end=end,
            skip_missing=_skips(on_missing), text_sees=_one_of(TextSees, "text_sees", text_sees),
            isolation=_window(Isolation, isolate, isolate_start, isolate_end),
            follow=_window(Follow, follow, follow_start, follow_end), place_words=place_words,
        )  # fmt: skip
        drawn = read_drawn(boxes, len(check(text, negative, settings).prompt.people))
        if drawn:
            regions = drawn_masks(drawn, feather)
        people = compose(
            model, clip, text=text, negative=negative, settings=settings, regions=regions, pose=pose,
            references=references,
            readers=Readers(
                vae, "" if ip_adapter == NO_CHOICE else ip_adapter, clip_vision, image_strength
            ),
        )  # fmt: skip
        run = build(people)
        return io.NodeOutput(
            run.model, run.positive, run.negative, people, people.masks,
            ui={"text": [*people.notes, *run.notes]},
        )  # fmt: skip


def _one_of(kind: type[Choice], name: str, value: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(each.value for each in kind)
        raise ValueError(f"Input {name!r} is {value!r} and must be one of {known}.") from None


def _window(kind, strength: float | None, start: float | None, end: float | None):
    """An Isolation or a Follow. What is linked is None while the queue is checked."""
    span = Span(0.0 if start is None else start, 1.0 if end is None else end)
    return kind(strength or 0.0, span)


def _skips(on_missing: str) -> bool:
    if on_missing not in ("error", "skip"):
        raise ValueError(f"Input 'on_missing' is {on_missing!r} and must be error or skip.")
    return on_missing == "skip"


NODES: list = [BreakRegionalPrompt]
