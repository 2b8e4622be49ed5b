"""One text of 1 MB takes every parser about as long as ten texts of 100 kB."""

import contextlib
import gc
import time

import pytest
from ensemble_portraits.ensemble.prompt.emphasis import Weights, for_comfy
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.flags import FlagKind, take_flags
from ensemble_portraits.ensemble.prompt.grammar import parse_break, parse_negative
from ensemble_portraits.ensemble.prompt.tags import take_tags

SPEC = {"mask_prompt": FlagKind.TEXT, "mask_invert": FlagKind.SWITCH}
PARSERS = {
    "tags": take_tags,
    "break": parse_break,
    "negative": lambda text: parse_negative(text, 2),
    "flags": lambda text: take_flags(text, SPEC),
    **{weights.value: lambda text, w=weights: for_comfy(text, w) for weights in Weights},
}
# Each repeated to size: what each pattern could trip over, closed and never closed.
SEEDS = {
    "words": "a woman, in a garden ",
    "tags": "a <lora:x:1>, ",
    "open tag": "<lora:",
    "open bracket": "<lora:a",
    "breaks": "a BREAK ",
    "glued breaks": "BREAK",
    "round": "(a",
    "closing": "a:1.2)",
    "crossing": "([a)]",
    "spaces": " ",
    "colon spaces": ": ",
    "commas": ", ",
    "backslashes": "\\",
    "dashes": "--",
    "quotes": '--mask_prompt "',
    "apostrophes": "'a ",
    "one word": "a",
    "digits": ":1",
    "lines": "\n",
}
RATIO = 4  # linear is 1, quadratic 10; the rest is for caches and memory
ATTEMPTS = 5


def seconds(parse, texts: list[str]) -> float:
    """Processor time, so that other work on the machine does not count."""
    start = time.thread_time()
    for text in texts:
        with contextlib.suppress(PromptError):
            parse(text)
    return time.thread_time() - start


@pytest.fixture
def no_garbage_collection():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("parser", PARSERS)
def test_time_grows_linearly_to_a_megabyte(parser, seed, no_garbage_collection):
    parse, unit = PARSERS[parser], SEEDS[seed]
    small = [(unit * (100_000 // len(unit) + 1))[:100_000]] * 10
    large = [(unit * (1_000_000 // len(unit) + 1))[:1_000_000]]
    ratios = []
    for _ in range(ATTEMPTS):
        # Below some milliseconds the clock says nothing.
        ratios.append(seconds(parse, large) / max(seconds(parse, small), 5e-3))
        if ratios[-1] < RATIO:
            return
    pytest.fail(f"1 MB takes {min(ratios):.1f} times as long as ten times 100 kB")
