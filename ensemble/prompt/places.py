"""Where people stand, in words, for text encoders that read sentences and know left from right.

A scene's text is completed with a sentence per person: "On the left: a woman in red. On the right: a
man." CLIP reads words with hardly any grammar, so such sentences would only mix people there.
"""

from collections.abc import Sequence

Centre = tuple[float, float]
"""x, y in parts of the picture, from its left top corner."""

SAME_PLACE = 0.02
"""Centres nearer than this both ways, in parts of the picture, have no words that tell them apart."""
_ACROSS = {
    1: ("in the middle",),
    2: ("on the left", "on the right"),
    3: ("on the left", "in the middle", "on the right"),
}
_DOWN = {2: ("at the top", "at the bottom"), 3: ("at the top", "in the middle", "at the bottom")}
_IN_A_ROW = {1: ("",), 2: (" left", " right"), 3: (" left", " in the middle", " right")}
_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
)  # fmt: skip


def place_sentences(words: Sequence[str], centres: Sequence[Centre | None]) -> str:
    """A sentence for each person who has words and a place; words are plain, without weights.

    Empty where nobody has both, or where two people have the same place.
    """
    there = [i for i, centre in enumerate(centres) if centre is not None]
    names = place_names([centre for centre in centres if centre is not None])
    said = []
    for index, name in zip(there, names, strict=False):
        text = " ".join(words[index].split()).strip(" ,;")
        if text:
            end = "" if text[-1] in ".!?" else "."
            said.append(f"{name[0].upper()}{name[1:]}: {text}{end}")
    return " ".join(said)


def completed(scene: str, sentences: str) -> str:
    """The scene's text with the sentences behind it."""
    scene = scene.rstrip(" ,;\t\r\n")
    if not scene or not sentences:
        return scene or sentences
    return f"{scene} {sentences}" if scene[-1] in ".!?" else f"{scene}. {sentences}"


def place_names(centres: Sequence[Centre]) -> list[str]:
    """What each place is called beside the others: along the axis on which they lie apart, and by
    row and place in it where they lie apart on both. None at all where two of them are one."""
    if any(_same(a, b) for i, a in enumerate(centres) for b in centres[:i]):
        return []
    if len(centres) == 1:
        return [_alone(centres[0])]
    wide, tall = (_spread([centre[axis] for centre in centres]) for axis in (0, 1))
    if tall <= wide / 2:
        return _along(centres, 0, _ACROSS, "from the left")
    if wide <= tall / 2:
        return _along(centres, 1, _DOWN, "from the top")
    return _by_row(centres)


def _same(a: Centre, b: Centre) -> bool:
    return all(abs(x - y) < SAME_PLACE for x, y in zip(a, b, strict=True))


def _alone(centre: Centre) -> str:
    x = centre[0]
    left, middle, right = _ACROSS[3]
    return left if x < 0.4 else right if x > 0.6 else middle


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0


def _along(
    centres: Sequence[Centre], axis: int, known: dict[int, tuple[str, ...]], count: str
) -> list[str]:
    order = sorted(range(len(centres)), key=lambda i: centres[i][axis])
    named = known.get(len(centres))
    names = [""] * len(centres)
    for place, index in enumerate(order):
        names[index] = named[place] if named else f"{_ordinal(place)} {count}"
    return names


def _by_row(centres: Sequence[Centre]) -> list[str]:
    heights = [y for _, y in centres]
    middle = (max(heights) + min(heights)) / 2
    names = [""] * len(centres)
    for row in ("at the top", "at the bottom"):
        here = [i for i, y in enumerate(heights) if (y < middle) == (row == "at the top")]
        here.sort(key=lambda i: centres[i][0])
        ends = _IN_A_ROW.get(len(here))
        for place, index in enumerate(here):
            end = ends[place] if ends else f", {_ordinal(place)} from the left"
            names[index] = row + end
    return names


def _ordinal(place: int) -> str:
    """Of a place that counts from 0."""
    return _ORDINALS[place] if place < len(_ORDINALS) else f"number {place + 1}"
