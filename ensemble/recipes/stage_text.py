"""Second stage: what is encoded, for the scene and for each person."""

import re
from collections.abc import Sequence

from ..prompt.emphasis import parse_a1111
from ..prompt.tags import REF, LoraTag, find_tags
from .build import Build, Flow
from .families import FAMILIES
from .graph import Link
from .library import Missing
from .recipe import Service
from .stage_models import add_loras, add_sampling_patches
from .styles import enhance

ENGLISH = "en"
_TAG = re.compile(r"<([^<>:]+)>")
_FOREIGN_TAG = re.compile(r"<(?!lora:)([a-z]+):[^<>]*>", re.IGNORECASE)
_BACKGROUND = re.compile(r"DALLE:\s*")


def add_text(build: Build, flow: Flow, regions: Link | None) -> None:
    """Fills flow's conditioning, and for Astria's grammar the regional model and PEOPLE."""
    if build.recipe.service is Service.LORA_MULTI:
        _add_plain_text(build, flow)
    else:
        _add_people(build, flow, regions)


def _add_plain_text(build: Build, flow: Flow) -> None:
    recipe = build.recipe
    prompt, negative = _with_embeddings(build, recipe.prompt, recipe.negative)
    texts: tuple[str | Link, str | Link]
    prompt, negative = _without_emphasis(build, prompt), _without_emphasis(build, negative)
    texts = add_loras(build, flow, _checked_tags(build, prompt)), negative
    # After the LoRAs, so that clip skip and panorama act on their clones.
    add_sampling_patches(build, flow)

    def rewrite(class_type: str, key: str, title: str, **inputs: object) -> tuple[Link, Link]:
        node = build.graph.add(class_type, key, title, prompt=texts[0], negative=texts[1], **inputs)
        return node[0], node[1]

    if recipe.translate:
        texts = _translated(build, texts)
    if recipe.enhance:
        how = {"style": "hosted", "seed": recipe.seed}
        texts = rewrite("EnsembleEnhancePrompt", "enhance", "Enhance Prompt", **how)
        build.notes.append("enhance_prompt: the words of style 'hosted' are added to both prompts")
    flow.positive, flow.negative = encode(build, flow.clip, texts)


def _without_emphasis(build: Build, text: str) -> str:
    """The text as the model's encoder reads it: a language model takes `(word:1.2)` for words."""
    family = build.model.family
    if family is None or family.emphasis:
        return text
    pieces = parse_a1111(text)
    if any(weight != 1.0 for _, weight in pieces):
        build.notes.append(
            f"emphasis: {family.name} reads texts with a language model; brackets and weights are "
            "left out"
        )
    return "".join(piece for piece, _ in pieces)


def _weights(build: Build, *texts: str) -> str:
    """The reading of emphasis for BreakRegionalPrompt."""
    family = build.model.family
    if not build.recipe.use_lpw:
        return "off"
    if family is None:
        return "a1111"
    if family.emphasis:
        return "comfy"
    for text in texts:
        _without_emphasis(build, text)
    return "a1111"


def _translated(
    build: Build, texts: tuple[str | Link, str | Link]
) -> tuple[str | Link, str | Link]:
    """Prompt and negative in English, each from its own language: many write the negative in English
    beside a prompt that is not, or the other way round."""
    return (
        _english(build, "prompt", build.recipe.prompt, texts[0]),
        _english(build, "negative", build.recipe.negative, texts[1]),
    )


def _english(build: Build, name: str, said: str, text: str | Link) -> str | Link:
    """`text`, which says `said`, in English. Of a negative's few words the language is a guess: where
    it cannot be translated this is noted, and no reason to refuse the recipe."""
    prompt = name == "prompt"
    try:
        language = build.library.language(said) if said or prompt else ENGLISH
    except ValueError as error:
        if prompt:
            build.missing.append(Missing("multi_lingual", "translation", "", str(error)))
        else:
            build.notes.append(
                "multi_lingual: the negative stays as it is, its language is not known"
            )
        return text
    if language == ENGLISH:
        if prompt:
            build.notes.append("multi_lingual: the prompt is English, it is not translated")
        return text
    hint = (
        f"the {name}'s language is {language!r} and no translator is here: put an mBART-50 folder into "
        f"models/translation, or write the {name} in English"
    )
    if not prompt and not build.library.files.get("translation"):
        build.notes.append(f"multi_lingual: {hint}; it stays as it is")
        return text
    model = build.first("translation", "multi_lingual", hint)
    if model is None:
        return text
    key, title = "translate", "Translate"
    if not prompt:
        key, title = "translate_negative", "Translate Negative"
    how = {"prompt": text, "model": model, "language": language}
    return build.graph.add("EnsembleTranslate", key, title, **how)[0]


def encode(
    build: Build, clip: Link, texts: Sequence[str | Link], key: str = "", who: str = ""
) -> tuple[Link, Link]:
    """Prompt and negative, encoded; `key` and `who` begin the nodes' keys and end their titles."""
    positive, negative = (
        build.graph.add(
            "CLIPTextEncode", f"{key}{name.lower()}", f"{name}{who}", clip=clip, text=text
        )[0]
        for name, text in zip(("Prompt", "Negative"), texts, strict=True)
    )
    return positive, negative


def _add_people(build: Build, flow: Flow, regions: Link | None) -> None:
    add_loras(build, flow, "")
    prompt, negative = people_prompt(build)
    node = build.graph.add(
        "BreakRegionalPrompt",
        "people",
        "People",
        model=flow.model,
        clip=flow.clip,
        text=prompt,
        negative=negative,
        regions=regions,
        vae=flow.vae if REF.search(prompt) else None,
        weights=_weights(build, prompt, negative),
        on_missing="skip" if build.options.skip_missing else "error",
    )
    flow.model, flow.positive, flow.negative = node[0], node[1], node[2]
    flow.people, flow.regions = node[3], node[4]


def people_prompt(build: Build) -> tuple[str, str]:
    """Astria's prompt and negative as BreakRegionalPrompt takes them: embeddings in core's spelling,
    persons of another checkpoint without their tag, expanded where asked."""
    recipe = build.recipe
    text = recipe.prompt
    for tag, _ in reversed(foreign_people(build)):
        text = text[: tag.start] + text[tag.end :]
    found = _BACKGROUND.match(text)
    if found:
        text = text[found.end() :]
        build.notes.append("prompt: 'DALLE:' is left out; your own model paints the scene")
    if recipe.prompt_expansion:
        build.notes.append("prompt_expansion: the words of style 'photo' are added")
        text = enhance(text, "", "photo")[0]
    return _with_embeddings(build, _checked_tags(build, text), recipe.negative)


def foreign_people(build: Build) -> list[tuple[LoraTag, int]]:
    """Tags of persons that name a checkpoint instead of a LoRA, and the person's index."""
    return [
        (tag, index)
        for index, person in enumerate(build.recipe.parts.people)
        for tag in person.loras
        if not _is_file(build, tag.name, "loras") and _is_file(build, tag.name, "checkpoints")
    ]


def _is_file(build: Build, name: str, folder: str) -> bool:
    try:
        build.library.find(name, folder)
    except ValueError:
        return False
    return True


def _checked_tags(build: Build, prompt: str) -> str:
    """The prompt, with every LoRA tag's file found or noted as missing."""
    for tag in find_tags(prompt):
        build.find("loras", tag.name, f"<lora:{tag.name}>")
    return _FOREIGN_TAG.sub(lambda tag: _known_tag(build, tag[0]), prompt)


def _known_tag(build: Build, tag: str) -> str:
    """A person's picture where the model takes one, else nothing and a note."""
    picture, family = REF.fullmatch(tag), build.model.family
    people = build.recipe.service is Service.ASTRIA
    if picture and people and family and family.references:
        build.find("images", picture["picture"].strip(), tag)
        return tag
    why = "has no counterpart here"
    if picture:
        takers = ", ".join(each.name for each in FAMILIES if each.references)
        why = f"needs people (BREAK) and a model that takes pictures in a recipe ({takers})"
    build.notes.append(f"prompt: {tag} {why} and is left out")
    return ""


def _with_embeddings(build: Build, prompt: str, negative: str) -> tuple[str, str]:
    """`<name>` and embeddings_model as core writes them, `embedding:file`."""

    family = build.model.family

    def spelled(tag: re.Match[str]) -> str:
        if family and not family.emphasis:
            build.notes.append(f"prompt: {tag[0]} is left out; {family.name} takes no embeddings")
            return ""
        file = build.find("embeddings", tag[1], tag[0])
        return f"embedding:{file}" if file else ""

    prompt, negative = _TAG.sub(spelled, prompt), _TAG.sub(spelled, negative)
    for name in build.recipe.embeddings:
        file = build.find("embeddings", name, "embeddings_model")
        if file:
            prompt = f"{prompt}, embedding:{file}"
    return prompt, negative
