"""What is typed into BreakRegionalPrompt, read once for the queue's check, the run and the editor."""

from dataclasses import dataclass
from functools import lru_cache

from .emphasis import Weights, for_comfy
from .errors import InputProblem, InputProblems, raise_first
from .grammar import (
    BreakPrompt,
    NegativePrompt,
    OneBreakError,
    Part,
    assemble,
    count_people,
    likely_mistake,
    parse_negative,
    split_parts,
)
from .order import read_order
from .tags import LoraTag


@dataclass(frozen=True)
class PromptReading:
    """What was understood of the inputs, and everything that is wrong with them. Where nothing is
    wrong, nothing is None.
    """

    # Base, common, a part per person, then those of several together; none where the text cannot be split.
    parts: tuple[Part, ...]
    prompt: BreakPrompt | None
    negatives: NegativePrompt | None
    # The person (from 0) at each place from left to right.
    standing: tuple[int, ...] | None
    problems: tuple[InputProblem, ...]
    # What can run and is seldom meant.
    doubt: OneBreakError | None = None

    @property
    def people(self) -> int:
        return count_people(self.parts)

    @property
    def tags(self) -> list[LoraTag]:
        return [tag for part in self.parts for tag in part.loras]

    def require(self) -> tuple[BreakPrompt, NegativePrompt]:
        """Prompt and negative, or the error of the first problem."""
        raise_first(self.problems)
        assert self.prompt and self.negatives  # noqa: S101 - without a problem they are there
        return self.prompt, self.negatives


@lru_cache(maxsize=32)
def read_prompt(
    text: str, negative: str = "", weights: str = Weights.OFF, order: str = ""
) -> PromptReading:
    """Read what the node's inputs say; texts of the last runs are kept, as the queue's check, the
    fingerprint and the run read them one after the other.
    """
    found = InputProblems()
    parts = found.attempt("text", lambda: split_parts(text)) or []
    # Nobody knows how many people a text has that cannot be split: none would be a second, false error.
    people = count_people(parts) if parts else None
    prompt = found.attempt("text", lambda: assemble(text, parts)) if parts else None
    negatives = found.attempt("negative", lambda: parse_negative(negative, people))
    emphasis = found.attempt("weights", lambda: Weights(weights))
    if emphasis is not None:
        for part in parts:
            found.attempt("weights", lambda part=part: for_comfy(part.text, emphasis))
        if negatives is not None:
            found.attempt("negative", lambda: for_comfy(negative, emphasis))
    standing = None if people is None else found.attempt("order", lambda: read_order(order, people))
    doubt = likely_mistake(text, parts) if not found else None
    return PromptReading(tuple(parts), prompt, negatives, standing, tuple(found), doubt)
