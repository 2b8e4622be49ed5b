"""What was understood of a recipe, for people to read before it runs."""

from dataclasses import fields
from enum import Enum
from typing import Any

from ..prompt.grammar import count_people, split_parts
from .recipe import Recipe, Service

_ELSEWHERE = {"service", "task", "prompt", "negative", "loras", "lora_strengths"}
_ROLES = ("base", "common")
_LONGEST = 80


def understood(recipe: Recipe) -> dict[str, Any]:
    """`service`; `parts` in order, each with its role, text and LoRAs; `negative`; `settings` that the
    recipe itself names, by their field."""
    parts: list[dict[str, Any]] = []
    if recipe.service is Service.ASTRIA:
        read = split_parts(recipe.prompt)
        people = count_people(read)
        for index, part in enumerate(read):
            person = index - len(_ROLES)
            role = _ROLES[index] if person < 0 else "person" if person < people else "together"
            loras = [{"name": tag.name, "weight": tag.weight} for tag in part.loras]
            parts.append({"role": role, "text": part.text, "loras": loras})
    else:
        strengths = recipe.lora_strengths or (1.0,)
        loras = [
            {"name": name, "weight": strengths[min(i, len(strengths) - 1)]}
            for i, name in enumerate(recipe.loras)
        ]
        parts.append({"role": "base", "text": recipe.prompt, "loras": loras})
    settings = {
        field.name: _short(value)
        for field in fields(recipe)
        if field.name not in _ELSEWHERE and (value := getattr(recipe, field.name)) not in (None, ())
    }
    return {
        "service": recipe.service.value,
        "parts": parts,
        "negative": recipe.negative,
        "settings": settings,
    }


def _short(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
