"""Emphasis in prompts: AUTOMATIC1111's brackets, ComfyUI's, or none.

A1111: `(x)` multiplies by 1.1, `(x:1.3)` by 1.3, `[x]` by 1/1.1, brackets multiply along their
nesting, `\\(` is a plain bracket. ComfyUI: `(x)` multiplies by 1.1, `(x:1.3)` sets 1.3 whatever is
around it, `[x]` is plain text. (AUTOMATIC1111 wiki, "Attention/emphasis";
comfy.sd1_clip.token_weights.)
"""

import math
import re
from enum import Enum

from .errors import PromptError, shown

ROUND, SQUARE = 1.1, 1 / 1.1
# ComfyUI's reader recurses once per bracket; Python gives up near 1000.
MAX_COMFY_DEPTH = 100

_A1111_TOKEN = re.compile(
    r"\\(?P<escaped>[()\[\]\\]?)"
    r"|(?P<open>[(\[])"
    r"|:\s*(?P<weight>[+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*\)"
    r"|(?P<close>[)\]])"
    r"|(?P<text>[^\\()\[\]:]+|:)",
    re.DOTALL | re.ASCII,
)
_OPENING = {")": "(", "]": "["}
_COMFY_TOKEN = re.compile(r"\\[()]|(?P<open>\()|(?P<close>\))")
_BRACKETS = re.compile(r"[()\[\]\\]")
_UNESCAPED = re.compile(r"(?<!\\)[()]")


class Weights(str, Enum):
    A1111 = "a1111"
    COMFY = "comfy"
    OFF = "off"


def parse_a1111(text: str) -> list[tuple[str, float]]:
    """The text in runs of equal weight, brackets gone.

    Unbalanced brackets are tolerated as A1111 does: one that is never closed counts to the end, one
    that was never opened is text. Weights that multiply beyond what a float holds are a
    PromptError.
    """
    runs: list[tuple[list[str], float]] = []
    # Round and square brackets nest each for themselves and may cross: `(a [b) c]`. So each shape
    # has its own product and its own stack of products outside.
    product = {"(": 1.0, "[": 1.0}
    outer: dict[str, list[float]] = {"(": [], "[": []}
    for piece, shape, factor in _tokens(text):
        if shape in product:
            outer[shape].append(product[shape])
            product[shape] *= factor
        elif shape:
            opening = _OPENING[shape]
            product[opening] = outer[opening].pop()
        elif piece:
            weight = product["("] * product["["]
            if not math.isfinite(weight):
                raise PromptError("Brackets multiply to an infinite weight", text, 0)
            if not runs or runs[-1][1] != weight:
                runs.append(([], weight))
            runs[-1][0].append(piece)
    return [("".join(run), weight) for run, weight in runs] or [("", 1.0)]


def _tokens(text: str) -> list[tuple[str, str, float]]:
    """Per token: its text, its bracket (empty if it is none that counts), and its factor."""
    tokens: list[tuple[str, str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for token in _A1111_TOKEN.finditer(text):
        group, piece, shape = token.lastgroup, token[0], ""
        factor = 1.0
        if group == "escaped":
            piece = token["escaped"]
        elif group == "open":
            shape, factor = piece, ROUND if piece == "(" else SQUARE
            opened[shape].append(len(tokens))
        elif group in ("weight", "close") and opened[_OPENING[piece[-1]]]:
            shape = piece[-1]
            start = opened[_OPENING[shape]].pop()
            if group == "weight":
                tokens[start] = (*tokens[start][:2], float(token["weight"]))
        tokens.append((piece, shape, factor))
    return tokens


def a1111_to_comfy(text: str) -> str:
    """Text that ComfyUI's tokenizer reads with exactly the weights of `parse_a1111`."""
    out = []
    for piece, weight in parse_a1111(text):
        plain = _escape(piece)
        # A trailing backslash would escape the bracket of the next run, so such a run gets brackets
        # of its own.
        out.append(plain if weight == 1.0 and not plain.endswith("\\") else f"({plain}:{weight!r})")
    return "".join(out)


def escape_comfy(text: str) -> str:
    """Text whose brackets ComfyUI's tokenizer takes as plain text. Brackets already escaped stay as
    they are.
    """
    return _UNESCAPED.sub(r"\\\g<0>", text)


def as_text(text: str, weights: Weights) -> str:
    """Words that the chosen reading takes as they stand, brackets and all."""
    if weights is Weights.A1111:
        return _BRACKETS.sub(r"\\\g<0>", text)
    return _escape(text) if weights is Weights.COMFY else text


def _escape(text: str) -> str:
    return text.replace("(", "\\(").replace(")", "\\)")


def check_comfy(text: str) -> None:
    """Raise PromptError for what would crash ComfyUI's own reader or blacken the picture."""
    opened: list[int] = []
    for token in _COMFY_TOKEN.finditer(text):
        if token["open"]:
            opened.append(token.end())
            if len(opened) > MAX_COMFY_DEPTH:
                raise PromptError(
                    f"Brackets nest deeper than {MAX_COMFY_DEPTH}", text, token.start()
                )
        elif token["close"] and opened:
            start = opened.pop()
            colon = text.rfind(":", start, token.start())
            if colon > start:
                _check_weight(text, colon + 1, token.start())


def _check_weight(text: str, start: int, end: int) -> None:
    try:
        weight = float(text[start:end])
    except ValueError:
        return  # ComfyUI takes it as text
    if not math.isfinite(weight):
        raise PromptError(f"Weight {shown(text[start:end])} is not a finite number", text, start)


def for_comfy(text: str, weights: Weights) -> str:
    """The text to hand to ComfyUI's tokenizer for a choice of reading. Raises PromptError."""
    if weights is Weights.A1111:
        return a1111_to_comfy(text)
    if weights is Weights.OFF:
        return escape_comfy(text)
    check_comfy(text)
    return text
