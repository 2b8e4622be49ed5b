"""Every setting of the hosted services: how it is read, its range, and where it acts in the graph.

One table serves both parsers, the writer and docs/recipes.md.
"""

from dataclasses import dataclass
from enum import Enum

from . import readers
from .readers import Reader
from .recipe import Task

ALL = (Task.TEXT, Task.IMAGE, Task.INPAINT)


class Works(Enum):
    """How true to the service a setting is."""

    YES = "yes"
    # The same purpose by a method of our own: other numbers, other pixels.
    NEAR = "near"
    # Of the HTTP answer, and not of the picture.
    ANSWER = "in the hosted API"
    OURS = "ours"
    NO = "no"


@dataclass(frozen=True)
class Setting:
    key: str
    # The Recipe's; without one the setting does nothing here, as `acts` says.
    field: str | None
    read: Reader
    # Node and input.
    acts: str
    # What acts when it is left empty.
    default: str = "off"
    # The service's limits, which bind under `strict`.
    low: float | None = None
    high: float | None = None
    # What ComfyUI can run at all.
    least: float | None = None
    most: float | None = None
    multiple: int = 1
    tasks: tuple[Task, ...] = ALL
    # Left open: yes, or no for one that does nothing here.
    works: Works | None = None
    # The version of this pack that has it.
    since: str = "0.1.0"

    @property
    def fidelity(self) -> Works:
        return self.works or (Works.YES if self.field else Works.NO)


CONTROLS = (
    *("composition", "reference", "segroom", "ipadapter", "lineart", "canny", "depth", "mlsd"),
    *("hed", "pose", "tile", "qr", "relight"),
    *("pose_with_hand", "pose_with_face", "pose_face_and_hand"),
)
ANCHORS = (
    *("top-left", "top-right", "bottom-left", "bottom-right", "center"),
    *("top-center", "bottom-center", "left-center", "right-center"),
)
ASPECTS = ("1:1", "portrait", "16:9", "landscape", "anamorphic")
LOOKS = ("Film Velvia", "Film Portra", "Ektar")
CHECKER_TYPES = ("blur", "sensitive_content_text", "pixelate", "black")
MISMATCHES = ("error", "crop", "repeat", "largest")
_MAX_SEED = 2**64 - 1
_NOTHING = "nothing here"
_NEAR, _OURS, _ANSWER = Works.NEAR, Works.OURS, Works.ANSWER

_PICTURE = readers.picture
_SWITCH, _INTEGER, _NUMBER = readers.switch, readers.integer, readers.number

# fmt: off
ASTRIA_SETTINGS = (
    Setting("num_images", "pictures", _INTEGER, "Empty Latent: batch_size", "1", 1, 8, 1, 64),
    Setting("negative_prompt", "negative", readers.text, "Prompt: negative", "empty"),
    Setting("seed", "seed", _INTEGER, "Sampler: noise_seed", "random", 0, 2**32, 0, _MAX_SEED),
    Setting("steps", "steps", _INTEGER, "EnsembleSampler: steps", "30", 0, 50, 1, 1000),
    Setting("cfg_scale", "cfg", _NUMBER, "Sampler: cfg", "7", 0, 15, 0, 100),
    Setting("controlnet", "controlnet", readers.choice(*CONTROLS), "Load ControlNet", "none"),
    Setting("input_image_url", "input_image", _PICTURE, "Load Image", "none"),
    Setting("input_image", "input_image", _PICTURE, "Load Image", "none"),
    Setting("mask_image_url", "mask_image", _PICTURE, "Load Image (as Mask)", "none"),
    Setting("mask_image", "mask_image", _PICTURE, "Load Image (as Mask)", "none"),
    Setting("denoising_strength", "denoise", _NUMBER, "EnsembleSampler: denoise", "0.8", 0, 1, 0, 1),
    Setting("controlnet_conditioning_scale", "controlnet_scale", _NUMBER,
        "Apply ControlNet: strength", "1", 0, 1, 0, 10),
    Setting("controlnet_txt2img", "controlnet_txt2img", _SWITCH,
        "yes: Empty Latent, no: VAE Encode of the input picture", "no"),
    Setting("super_resolution", "super_resolution", _SWITCH, "EnsembleHires: factor 4",
        works=_NEAR),
    Setting("inpaint_faces", "inpaint_faces", _SWITCH, "FaceInpaint", works=_NEAR),
    Setting("face_correct", "face_correct", _SWITCH, "EnsembleFaceRestore", works=_NEAR),
    Setting("film_grain", "film_grain", _SWITCH, "FilmGrain", works=_NEAR),
    Setting("face_swap", "face_swap", _SWITCH, "EnsembleFaceSwap", works=_NEAR),
    Setting("hires_fix", "hires_fix", _SWITCH, "EnsembleHires: denoise", works=_NEAR),
    Setting("prompt_expansion", "prompt_expansion", _SWITCH, "EnsembleEnhancePrompt", works=_NEAR),
    Setting("ar", "aspect", readers.choice(*ASPECTS), "Empty Latent, unless w and h are set", "1:1"),
    Setting("scheduler", "scheduler", readers.text, "EnsembleSampler: name", "dpm++sde_karras",
        works=_NEAR),
    Setting("color_grading", "color_grading", readers.choice(*LOOKS),
        "EnsembleColorGrade: look", "none", works=_NEAR),
    Setting("use_lpw", "use_lpw", _SWITCH, "BreakRegionalPrompt: weights (a1111 or off)", "yes"),
    Setting("w", "width", _INTEGER, "Empty Latent: width", "from ar", None, None, 16, 16384, 8),
    Setting("h", "height", _INTEGER, "Empty Latent: height", "from ar", None, None, 16, 16384, 8),
    Setting("backend_version", None, readers.text, f"{_NOTHING}: the service's own machines"),
    Setting("style", None, readers.text, f"{_NOTHING}: write the style into the prompt"),
)

ASTRIA_FLAGS = (
    Setting("mask_prompt", "mask_prompt", readers.phrases, "MaskFromPrompt: words", "no mask",
        works=_NEAR),
    Setting("mask_negative", "mask_negative", readers.phrases, "MaskFromPrompt: negative", "none",
        works=_NEAR),
    Setting("mask_invert", "mask_invert", _SWITCH, "MaskFromPrompt: invert"),
    Setting("mask_dilate", "mask_dilate", readers.dilate, "MaskFromPrompt: dilate", "0",
        works=_NEAR),
    Setting("hires_denoising_strength", "hires_denoise", _NUMBER,
        "EnsembleHires: denoise", "0.4", 0, 1, 0, 1, works=_NEAR),
    Setting("hires_cfg_scale", "hires_cfg", _NUMBER, "EnsembleHires: cfg", "5.5", 0, 15, 0, 100,
        works=_NEAR),
    Setting("controlnets", "controlnets", readers.words, "Load ControlNet, one each", "none"),
    Setting("controlnet_weights", "controlnet_weights", readers.numbers,
        "Apply ControlNet: strength, one each", "1", 0, 1, 0, 10),
    Setting("control_guidance_end", "guidance_end", _NUMBER, "Apply ControlNet: end_percent",
        "1", 0, 1, 0, 1),
    Setting("outpaint", "outpaint", readers.choice(*ANCHORS),
        "Pad Image for Outpainting: where the picture stands", works=_NEAR),
    Setting("outpaint_width", "outpaint_width", _INTEGER, "Pad Image for Outpainting: left and right",
        "the picture's", None, None, 16, 16384, 8),
    Setting("outpaint_height", "outpaint_height", _INTEGER, "Pad Image for Outpainting: top and bottom",
        "the picture's", None, None, 16, 16384, 8),
    Setting("outpaint_prompt", "outpaint_prompt", readers.text, "Prompt of the surroundings",
        "base and common", works=_NEAR),
    Setting("tiled_upscale", "tiled_upscale", _SWITCH, "EnsembleHires in tiles: factor 4, denoise",
        works=_NEAR),
    Setting("tiled_upscale_v2", "tiled_upscale", _SWITCH, "EnsembleHires in tiles: factor 4, denoise",
        works=_NEAR),
    Setting("only_upscale", "only_upscale", _SWITCH,
        "EnsembleHires over the input picture, with denoising_strength; nothing is sampled before",
        works=_NEAR),
    # Ours: the services decide this unseen.
    Setting("on_mismatch", "on_mismatch", readers.choice(*MISMATCHES),
        "PoseControlInput: on_mismatch", "error; largest in hosted jobs", works=_OURS),
    Setting("on_nobody", "on_nobody", readers.choice("error", "default pose"),
        "PoseControlInput: on_nobody", "error", works=_OURS),
    Setting("estimator", "estimator", readers.text, "PoseControlInput: estimator", "auto",
        works=_OURS),
    Setting("allow_approximate", "allow_approximate", _SWITCH, "EnsembleSampler: allow_approximate",
        works=_OURS),
    *(
        Setting(key, None, reader, f"{_NOTHING}: {why}")
        for key, reader, why in (
            ("resemblance", _NUMBER, "tiled upscaling repaints without a ControlNet"),
            ("upscale_v4", _SWITCH, "use super_resolution"),
            ("improve_similarity", _NUMBER, "the service's own fine-tunes"),
            ("fix_bindi", _SWITCH, "the service's own retouching"),
            ("remove_background", _SWITCH, "use core's Remove Background"),
            ("faceid_portrait", _SWITCH, "the service's own face adapter"),
        )
    ),
)
# fmt: on

_IMAGE_TASKS = (Task.IMAGE, Task.INPAINT)
# fmt: off
JSON_FIELDS = (
    Setting("key", None, readers.text, "access to the hosted API", "empty",
        works=_ANSWER),
    Setting("model_id", "model", readers.name, "Load Checkpoint: ckpt_name", "alias `default`"),
    Setting("prompt", "prompt", readers.text, "Prompt", "required"),
    Setting("negative_prompt", "negative", readers.text, "Negative", "empty"),
    Setting("width", "width", _INTEGER, "Empty Latent: width", "512", 256, 1024, 16, 16384, multiple=8),
    Setting("height", "height", _INTEGER, "Empty Latent: height",
        "512", 256, 1024, 16, 16384, multiple=8),
    Setting("samples", "pictures", _INTEGER, "Empty Latent: batch_size", "1", 1, 4, 1, 64),
    Setting("num_inference_steps", "steps", _INTEGER, "EnsembleSampler: steps", "30", 1, 50, 1, 1000),
    Setting("steps", "steps", _INTEGER, "EnsembleSampler: steps",
        "30", 1, 50, 1, 1000, tasks=(Task.INPAINT,)),
    Setting("safety_checker", "safety_checker", _SWITCH, "EnsembleSafetyChecker", "no",
        works=_NEAR),
    Setting("safety_checker_type", "safety_checker_type", readers.choice(*CHECKER_TYPES),
        "EnsembleSafetyChecker: action", "black"),
    Setting("enhance_prompt", "enhance", _SWITCH, "EnsembleEnhancePrompt", "yes", works=_NEAR),
    Setting("seed", "seed", _INTEGER, "Sampler: noise_seed", "random", 0, 2**32, 0, _MAX_SEED),
    Setting("guidance_scale", "cfg", _NUMBER, "Sampler: cfg", "7.5", 1, 20, 0, 100),
    Setting("multi_lingual", "translate", _SWITCH, "EnsembleTranslate", "no", works=_NEAR),
    Setting("panorama", "panorama", _SWITCH, "EnsemblePanorama", "no", works=_NEAR),
    Setting("self_attention", "self_attention", _SWITCH, "Self-Attention Guidance", "no",
        works=_NEAR),
    Setting("upscale", "upscale", readers.upscale, "EnsembleHires: factor", "no", 1, 3, 1, 3,
        works=_NEAR),
    Setting("embeddings_model", "embeddings", readers.names, "Prompt: embedding:NAME at its end",
        "none"),
    Setting("lora_model", "loras", readers.names, "MultiLoraLoader: loras", "none"),
    Setting("lora_strength", "lora_strengths", readers.numbers, "MultiLoraLoader: strengths",
        "1 each", 0.1, 1, -100, 100),
    Setting("scheduler", "scheduler", readers.text, "EnsembleSampler: name", "UniPCMultistepScheduler",
        works=_NEAR),
    # Ours, hence the prefix.
    Setting("ensemble_allow_approximate", "allow_approximate", _SWITCH,
        "EnsembleSampler: allow_approximate", "no", works=_OURS),
    Setting("clip_skip", "clip_skip", _INTEGER, "CLIP Set Last Layer", "1", 1, 8, 1, 24),
    Setting("tomesd", "token_merging", _SWITCH, "Token Merging", "yes", works=_NEAR),
    Setting("use_karras_sigmas", "karras", _SWITCH, "EnsembleSampler: karras", "yes"),
    Setting("algorithm_type", "algorithm", readers.choice("none", "dpmsolver+++"),
        "EnsembleSampler: stochastic", "none", works=_NEAR),
    Setting("vae", "vae", readers.name, "Load VAE", "the checkpoint's"),
    Setting("highres_fix", "highres_fix", _SWITCH, "EnsembleHires: factor 2", "no", works=_NEAR),
    Setting("init_image", "input_image", _PICTURE, "Load Image", "required", tasks=_IMAGE_TASKS),
    Setting("mask_image", "mask_image", _PICTURE, "Load Image (as Mask)",
        "required", tasks=(Task.INPAINT,)),
    Setting("strength", "denoise", _NUMBER, "EnsembleSampler: denoise",
        "0.7", 0, 1, 0, 1, tasks=_IMAGE_TASKS),
    Setting("webhook", None, readers.text, "the hosted API's answer", "none",
        works=_ANSWER),
    Setting("track_id", None, lambda value: str(value), "the hosted API's answer",
        works=_ANSWER),
    Setting("base64", None, _SWITCH, "the hosted API's answer", "no", works=_ANSWER),
    Setting("temp", None, _SWITCH, "the hosted API: pictures are removed after a day", "no",
        works=_ANSWER),
)
# fmt: on

# Fields that public clients send although the call never listed them.
JSON_ALIASES = {
    "lora": "lora_model",
    "embeddings": "embeddings_model",
    "init_image_url": "init_image",
}
