"""What people paste in place of a body: a service's answer, a cURL command, a piece of code.

An answer holds the whole body as its `meta`, under other names; a command or a program holds it as a
JSON object somewhere in its text.
"""

import json
import re
from typing import Any

_CODE = re.compile(
    r"^\s*(?:curl\b|import\s|from\s+\w+\s+import\b|const\s|let\s|var\s|await\s|fetch\(|<\?php)",
    re.M,
)
_BODY_KEYS = {"prompt", "model_id", "init_image"}
_MOST_TRIES = 50
# The answer's names of the request's fields; None is no field of a request.
_META: dict[str, str | None] = {
    "W": "width",
    "H": "height",
    "steps": "num_inference_steps",
    "n_samples": "samples",
    "lora": "lora_model",
    "embeddings": "embeddings_model",
    "safetychecker": "safety_checker",
    "full_url": None,
    "file_prefix": None,
    "outdir": None,
}


class NoBodyError(ValueError):
    """A program or a command without a body that can be taken out; says what to paste."""


def unwrapped(text: str) -> str:
    """The JSON body that `text` holds, or `text` where it is one, or a prompt. Raises NoBodyError."""
    bare = text.lstrip("\ufeff \t\r\n")
    if bare.startswith("{"):
        return _body_of_answer(bare) or text
    if not _CODE.search(text):
        return text
    body = _first_body(text)
    if body is None:
        if "BREAK" in text:
            return text
        raise NoBodyError(
            "this looks like a command or a program, and no JSON object with a prompt stands in it: "
            "paste the body alone, from its { to its }"
        )
    return json.dumps(body, ensure_ascii=False, indent=1)


def _body_of_answer(text: str) -> str | None:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None  # the reader of bodies says what is wrong
    if (
        not isinstance(answer, dict)
        or not isinstance(answer.get("meta"), dict)
        or "prompt" in answer
    ):
        return None
    body = {
        name: value
        for key, value in answer["meta"].items()
        if (name := _META.get(key, key)) is not None and value is not None
    }
    return json.dumps(body, ensure_ascii=False, indent=1)


def _first_body(text: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder()
    at = -1
    for _ in range(_MOST_TRIES):
        at = text.find("{", at + 1)
        if at < 0:
            return None
        try:
            found, _end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and _BODY_KEYS & found.keys():
            return found
    return None
