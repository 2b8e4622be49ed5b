"""Words that prompt enhancement adds: a list to read, nothing hidden.

`hosted` is what stablediffusionapi.com's documented answer shows for `enhance_prompt=yes`; the
others are ours. Words a prompt has already are not added again.
"""

import re
from dataclasses import dataclass

from ..prompt.grammar import parse_break

_HOSTED_NEGATIVE = (
    "(child:1.5), ((((underage)))), ((((child)))), (((kid))), (((preteen))), (teen:1.5), ugly, "
    "tiling, poorly drawn hands, poorly drawn feet, poorly drawn face, out of frame, extra limbs, "
    "disfigured, deformed, body out of frame, bad anatomy, watermark, signature, cut off, "
    "low contrast, underexposed, overexposed, bad art, beginner, amateur, distorted face, blurry, "
    "draft, grainy"
)
_PLAIN_NEGATIVE = "ugly, deformed, bad anatomy, extra limbs, watermark, signature, blurry"


@dataclass(frozen=True)
class Style:
    name: str
    prompt: str
    negative: str


STYLES = (
    Style(
        "hosted",
        "hyperrealistic, full body, detailed clothing, highly detailed, cinematic lighting, "
        "stunningly beautiful, intricate, sharp focus, f/1. 8, 85mm, (centered image composition), "
        "(professionally color graded), ((bright soft diffused light)), volumetric fog, "
        "trending on instagram, trending on tumblr, HDR 4K, 8K",
        _HOSTED_NEGATIVE,
    ),
    Style(
        "photo",
        "photograph, natural light, realistic skin texture, sharp focus, 85mm",
        _PLAIN_NEGATIVE + ", painting, drawing, 3d render",
    ),
    Style(
        "cinematic",
        "film still, cinematic lighting, anamorphic, dramatic composition, color graded",
        _PLAIN_NEGATIVE,
    ),
    Style(
        "illustration",
        "digital painting, clean lines, rich colors, intricate detail, concept art",
        _PLAIN_NEGATIVE + ", photograph",
    ),
    Style(
        "cartoon",
        "cartoon, bold outlines, cel shading, vivid colors, expressive",
        _PLAIN_NEGATIVE + ", photograph, 3d render",
    ),
    Style(
        "flat",
        "flat vector illustration, simple shapes, limited palette, clean edges, plain background",
        _PLAIN_NEGATIVE + ", photograph, 3d render, gradient, texture",
    ),
    # An off switch: the texts come out as they are.
    Style("none", "", ""),
)
NAMES = tuple(style.name for style in STYLES)


def enhance(prompt: str, negative: str, style: str) -> tuple[str, str]:
    """Prompt and negative with a style's words at their end.

    In a prompt with BREAKs they join the common part, which goes to the scene and to every person.
    """
    chosen = next(entry for entry in STYLES if entry.name == style)
    return _extend(prompt, chosen.prompt), _extend(negative, chosen.negative)


def _extend(text: str, words: str) -> str:
    have = {word.strip(" ()[]").lower() for word in re.split(r"[,\n]|BREAK", text)}
    new = ", ".join(word for word in words.split(", ") if word.strip(" ()").lower() not in have)
    if not new:
        return text
    if "BREAK" not in text:
        return _join(text, new)
    prompt = parse_break(text)
    if not prompt.has_break:
        return _join(text, new)
    common = prompt.common
    joined = f" {_join(text[common.start : common.end].strip(), new)} "
    return f"{text[: common.start]}{joined}{text[common.end :]}".strip()


def _join(text: str, words: str) -> str:
    return ", ".join(filter(None, (text.rstrip(", "), words)))
