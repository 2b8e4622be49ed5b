"""The one value between a hosted input and a ComfyUI graph."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from ..prompt.grammar import BreakPrompt, parse_break


class Service(Enum):
    """Whose defaults act where a recipe says nothing."""

    ASTRIA = "astria"
    LORA_MULTI = "lora multi"


class Task(Enum):
    """The three calls of the LoRA multi service; Astria's text is always TEXT."""

    TEXT = "text2img"
    IMAGE = "img2img"
    INPAINT = "inpaint"


@dataclass(frozen=True)
class Recipe:
    """What was asked for, in one vocabulary. `None` and empty are unset: the default acts.

    `prompt` and `negative` keep their BREAKs and tags; flags taken out of the prompt are fields.
    """

    service: Service
    task: Task = Task.TEXT
    prompt: str = ""
    negative: str = ""

    # models: names as the service knows them
    model: str | None = None
    vae: str | None = None
    loras: tuple[str, ...] = ()
    lora_strengths: tuple[float, ...] = ()
    embeddings: tuple[str, ...] = ()

    # sampling
    pictures: int | None = None
    seed: int | None = None
    steps: int | None = None
    cfg: float | None = None
    denoise: float | None = None
    scheduler: str | None = None
    allow_approximate: bool | None = None
    karras: bool | None = None
    algorithm: str | None = None
    clip_skip: int | None = None
    token_merging: bool | None = None
    self_attention: bool | None = None
    panorama: bool | None = None

    # canvas, in pixels before any upscaling
    width: int | None = None
    height: int | None = None
    aspect: str | None = None

    # pictures that come in, and pose
    input_image: str | None = None
    mask_image: str | None = None
    controlnet: str | None = None
    controlnet_scale: float | None = None
    controlnet_txt2img: bool | None = None
    controlnets: tuple[str, ...] = ()
    controlnet_weights: tuple[float, ...] = ()
    guidance_end: float | None = None
    on_mismatch: str | None = None
    on_nobody: str | None = None
    estimator: str | None = None

    # more picture around it, in pixels of the whole
    outpaint: str | None = None
    outpaint_width: int | None = None
    outpaint_height: int | None = None
    outpaint_prompt: str | None = None

    # mask words
    mask_prompt: str | None = None
    mask_negative: str | None = None
    mask_invert: bool | None = None
    mask_dilate: str | None = None

    # text
    use_lpw: bool | None = None
    enhance: bool | None = None
    prompt_expansion: bool | None = None
    translate: bool | None = None

    # finishing
    super_resolution: bool | None = None
    hires_fix: bool | None = None
    hires_denoise: float | None = None
    hires_cfg: float | None = None
    upscale: int | None = None
    highres_fix: bool | None = None
    tiled_upscale: bool | None = None
    only_upscale: bool | None = None
    inpaint_faces: bool | None = None
    face_correct: bool | None = None
    face_swap: bool | None = None
    color_grading: str | None = None
    film_grain: bool | None = None
    safety_checker: bool | None = None
    safety_checker_type: str | None = None

    @cached_property
    def parts(self) -> BreakPrompt:
        """The parts of a prompt in Astria's grammar. Raises PromptError."""
        return parse_break(self.prompt)

    @property
    def people(self) -> int:
        """How many people have a part of the prompt; none in the JSON calls, which have no parts."""
        return len(self.parts.people) if self.service is Service.ASTRIA else 0
