"""Every parser takes for 1 MB at most so many times what it takes for 100 kB."""

import contextlib
import math
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
RATIO = 30  # linear is 10, quadratic 100; the rest is for a busy machine
ATTEMPTS = 3


def seconds(parse, text: str) -> float:
    start = time.perf_counter()
    with contextlib.suppress(PromptError):
        parse(text)
    return time.perf_counter() - start


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("parser", PARSERS)
def test_time_grows_linearly_to_a_megabyte(parser, seed):
    parse, unit = PARSERS[parser], SEEDS[seed]
    small = (unit * (100_000 // len(unit) + 1))[:100_000]
    large = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    fast, slow = math.inf, math.inf
    for _ in range(ATTEMPTS):
        # Below a millisecond the clock says nothing.
        fast = min(fast, max(1e-3, seconds(parse, small)))
        slow = min(slow, seconds(parse, large))
        if slow < RATIO * fast:
            return
    pytest.fail(f"1 MB takes {slow / fast:.0f} times as long as 100 kB")
