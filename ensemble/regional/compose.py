"""What was typed and linked -> PEOPLE: texts read, LoRAs found, every person encoded by their own
CLIP."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP

from ..lora.adapters import KeyMap, clip_key_map, model_key_map
from ..lora.merge import LoraChoice, merge, model_kind, read
from ..prompt.emphasis import as_text
from ..prompt.grammar import BreakPrompt
from ..prompt.places import completed, place_sentences
from ..prompt.reading import read_prompt
from ..regions.masks import centre
from ..regions.weights import together
from .changes import LoraPatch, Patches
from .encode import encode, knows_weights, without_emphasis
from .families import family_of
from .follow import Follower
from .image_prompts import ImagePrompt
from .people import People, Person, Text, Together
from .placement import Placement, PlacementRequest, place
from .reference_pictures import reference_pictures
from .references import Readers, Shown, show
from .rows import Span
from .settings import Settings, check

log = logging.getLogger(__name__)
READERS = Readers()
Seen = Shown | ImagePrompt | None


@dataclass
class Notes:
    """Lines for the person at the screen: what was understood, and warnings, which are logged
    too."""

    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def say_once(self, line: str) -> None:
        if line not in self.lines:
            self.say(line)

    def warn(self, line: str) -> None:
        log.warning("BreakRegionalPrompt: %s", line)
        self.lines.append(f"Warning: {line}")


def compose(
    model: ModelPatcher, clip: CLIP, *, text: str, negative: str, settings: Settings,
    regions: torch.Tensor | None = None, pose: object = None,
    references: torch.Tensor | None = None, readers: Readers = READERS,
) -> People:  # fmt: skip
    """The People of a prompt. regions and pose: see PlacementRequest. references: IMAGE `[K,H,W,C]` for
    people without `<ref:…>`, in prompt order."""
    chosen = check(text, negative, settings)
    prompt, negatives = chosen.prompt, chosen.negatives
    notes = Notes()
    doubt = read_prompt(text, negative, settings.weights, settings.order).doubt
    if doubt:
        notes.warn(str(doubt))
    where = place(
        PlacementRequest(
            people=len(prompt.people), layout=settings.layout, feather=settings.feather,
            order=settings.order, regions=regions, pose=pose, thin=settings.follow.strength > 0,
        )
    )  # fmt: skip
    for number, mask in enumerate(where.regions, 1):
        if not mask.any():
            notes.warn(f"the region of person {number} is empty, so that person is not painted")
    for each in (chosen.shared, *chosen.own, *chosen.together):
        for skipped in each.skipped:
            notes.warn(f"skipped: {skipped.reason}")
    parts = prompt.people
    pictures = reference_pictures(parts, references, settings.skip_missing)
    for number, (part, picture) in enumerate(zip(parts, pictures, strict=True), 1):
        if part.reference and picture is None:
            notes.warn(f"skipped: the reference of person {number} is no file in the input folder")
    seen = show(model, readers, pictures)
    if chosen.shared.choices:
        model, clip, _ = merge(model, clip, chosen.shared.choices)
    encoder = _Encoder(model, clip, settings, notes)
    people = tuple(
        encoder.person(own.choices, whole, negatives.person_texts[i], where, i, seen[i])
        for i, (own, whole) in enumerate(zip(chosen.own, prompt.person_texts, strict=True))
    )
    shared = tuple(
        encoder.together(own.choices, whole, negatives.base_text, where, each.members)
        for own, whole, each in zip(
            chosen.together, prompt.together_texts, prompt.together, strict=True
        )
    )
    scene = encoder.text(clip, prompt.base_text)
    added = _place_words(prompt, where, encoder) if settings.place_words and people else ""
    placed = completed(prompt.base_text, as_text(added, settings.weights))
    return People(
        model=model,
        clip=clip,
        base=encoder.text(clip, placed) if added else scene,
        negative=encoder.text(clip, negatives.base_text),
        common=prompt.common.text,
        people=people,
        method=settings.method,
        base_strength=settings.base_strength,
        span=Span(settings.start, settings.end),
        text_sees=settings.text_sees,
        isolation=settings.isolation,
        unplaced=scene if added else None,
        notes=tuple(_summary(prompt, people, shared, seen) + notes.lines),
        together=shared,
        follower=_follower(settings, where, prompt) if people else None,
    )


def _follower(settings: Settings, where: Placement, prompt: BreakPrompt) -> Follower | None:
    if not settings.follow.strength:
        return None
    members = [each.members for each in prompt.together]
    return Follower(settings.follow, where.regions, where.heads, members, where.thin)


def _place_words(prompt: BreakPrompt, where: Placement, encoder: _Encoder) -> str:
    """The sentences that say where everybody stands; without any, a note says why."""
    if not encoder.family.reads_language:
        encoder.notes.say(
            "place_words adds nothing on this model: it is for those whose text encoder reads "
            "sentences (Z-Image, Krea 2, Flux, Qwen-Image, Anima, SD3), not CLIP alone."
        )
        return ""
    words = [without_emphasis(part.text, encoder.settings.weights) for part in prompt.people]
    sentences = place_sentences(words, [centre(region) for region in where.regions])
    if sentences:
        encoder.notes.say(f"place_words adds to the scene: {sentences}")
    else:
        encoder.notes.say(
            "place_words adds nothing: no person has words and a place that no other has."
        )
    return sentences


class _Encoder:
    """Encodes texts, each person's by a CLIP with that person's LoRAs; plain CLIP texts only
    once."""

    def __init__(self, model: ModelPatcher, clip: CLIP, settings: Settings, notes: Notes):
        self.model, self.clip, self.settings, self.notes = model, clip, settings, notes
        self.family = family_of(model)
        self.plain: dict[str, Text] = {}
        self.keys: tuple[KeyMap, KeyMap] | None = None

    def text(self, clip: CLIP, text: str) -> Text:
        if clip is self.clip and text in self.plain:
            return self.plain[text]
        weights = self.settings.weights
        if without_emphasis(text, weights) != text and not knows_weights(clip):
            self.notes.say_once(
                "This model's text encoder knows no emphasis; brackets and weights are left out."
            )
        encoded = Text(text, encode(clip, text, weights, self.family))
        if clip is self.clip:
            self.plain[text] = encoded
        return encoded

    def beside(self, clip: CLIP, text: str, shown: Seen) -> Text:
        """A person's text with their picture."""
        if not isinstance(shown, Shown):
            return self.text(clip, text)
        words = without_emphasis(text, self.settings.weights)
        return Text(text, shown.read(clip, words, lambda: self.text(clip, text).conditioning))

    def person(
        self,
        choices: Sequence[LoraChoice],
        whole: str,
        negative: str,
        where: Placement,
        index: int,
        shown: Seen = None,
    ) -> Person:
        clip, patches = self._apply(choices)
        return Person(
            positive=self.beside(clip, whole, shown),
            negative=self.beside(clip, negative, shown),
            lora_names=tuple(f"{c.file.name} {c.weight:g}" for c in choices),
            patches=patches,
            region=where.regions[index],
            head=where.heads[index],
            seed_offset=index,
            image=shown if isinstance(shown, ImagePrompt) else None,
        )

    def together(
        self,
        choices: Sequence[LoraChoice],
        whole: str,
        negative: str,
        where: Placement,
        members: tuple[int, ...],
    ) -> Together:
        region = together(where.regions[list(members)])
        here = Placement(region[None], (None,))
        return Together(members, self.person(choices, whole, negative, here, 0))

    def _apply(self, choices: Sequence[LoraChoice]) -> tuple[CLIP, Patches]:
        """A clone of CLIP with the choices' text parts, and what they change in the diffusion
        model."""
        clip: CLIP = self.clip
        patches: dict = {}
        for choice in choices:
            if self.keys is None:
                self.keys = model_key_map(self.model), clip_key_map(self.clip)
            (own, texts), warnings = read(choice, self.keys, model_kind(self.model))
            for warning in warnings:
                self.notes.say_once(f"Warning: {warning}")
            for key, adapter in own.adapters.items():
                patch = LoraPatch(adapter, choice.weight, choice.file.name)
                patches[key] = (*patches.get(key, ()), patch)
            if texts.adapters and choice.clip_weight:
                clip = clip.clone() if clip is self.clip else clip
                clip.add_patches(texts.adapters, choice.clip_weight)
        return clip, patches


def _summary(
    prompt: BreakPrompt, people: Sequence[Person], shared: Sequence[Together], seen: Sequence[Seen]
) -> list[str]:
    """How the text was read, a line each."""
    if not prompt.has_break:
        return ["Plain prompt: no BREAK, nobody has a region."]
    lines = [f"base: {prompt.base.text or '(empty)'}", f"common: {prompt.common.text or '(empty)'}"]
    for number, (part, person) in enumerate(zip(prompt.people, people, strict=True), 1):
        loras = ", ".join(person.lora_names) or "no LoRA"
        picture = "" if seen[number - 1] is None else ", a reference picture"
        lines.append(f"person {number}: {part.text or '(empty)'} [{loras}{picture}]")
    for each, made in zip(prompt.together, shared, strict=True):
        who = " and ".join(str(member + 1) for member in each.members)
        loras = ", ".join(made.painted.lora_names) or "no LoRA"
        lines.append(f"people {who} together: {each.text or '(empty)'} [{loras}]")
    return lines
