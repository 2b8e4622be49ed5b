"""The words of the world and the colours they stand for."""

Colour = tuple[int, int, int]

PLACES = ("beach", "forest", "night city", "desert", "snow", "meadow", "room", "sunset")
POSES = ("standing", "waving", "arms up", "arms crossed", "sitting")
PATTERNS = ("", "striped", "dotted", "checked")
CHILDREN = ("boy", "girl")
FEMALE = ("woman", "girl")
SKINS: dict[str, Colour] = {
    "pale": (255, 224, 200),
    "tan": (226, 176, 132),
    "brown": (166, 110, 76),
    "dark": (112, 72, 52),
}
HAIRS: dict[str, Colour] = {
    "red": (196, 74, 34),
    "blonde": (240, 208, 110),
    "brown": (112, 70, 40),
    "black": (42, 38, 44),
    "white": (232, 232, 236),
}
CLOTHES: dict[str, Colour] = {
    "red": (214, 58, 58),
    "blue": (58, 104, 196),
    "green": (62, 146, 84),
    "yellow": (244, 204, 72),
    "orange": (238, 138, 54),
    "pink": (244, 166, 186),
    "black": (54, 54, 60),
    "white": (244, 244, 240),
}
# Four colours that nothing else in the world wears; each identity owns one of their six pairs.
SIGNATURE: dict[str, Colour] = {
    "magenta": (235, 24, 176),
    "cyan": (0, 216, 228),
    "lime": (150, 236, 16),
    "violet": (122, 36, 240),
}
OUTLINE: Colour = (38, 30, 40)

_WORDS = [
    "a",
    "and",
    "with",
    ",",
    "two",
    "three",
    "people",
    "man",
    "woman",
    "boy",
    "girl",
    "red",
    "blonde",
    "brown",
    "black",
    "white",
    "grey",
    "blue",
    "green",
    "yellow",
    "orange",
    "pink",
    "long",
    "short",
    "hair",
    "shirt",
    "striped",
    "dotted",
    "checked",
    "trousers",
    "shorts",
    "skirt",
    "hat",
    "glasses",
    "beach",
    "forest",
    "night",
    "city",
    "desert",
    "snow",
    "meadow",
    "room",
    "sunset",
    "standing",
    "sitting",
    "waving",
    "arms",
    "up",
    "crossed",
    "holding",
    "hands",
    "pale",
    "tan",
    "dark",
    "skin",
    "picture",
    "of",
    "in",
    "on",
    "ohwx",
]
_TOKENS = (
    320, 537, 593, 267, 1237, 2097, 1047, 786, 2308, 1876, 1611, 736, 10711, 2866, 1449, 1579, 5046,
    1746, 1901, 4481, 4287, 3360, 1538, 3005, 2225, 2523, 22192, 47950, 10387, 23172, 9680, 12386,
    3801, 6116, 2117, 4167, 930, 1305, 7301, 2583, 17195, 1530, 3424, 2862, 4919, 26545, 5706, 705,
    11731, 5050, 3500, 12518, 5039, 3144, 3575, 1674, 539, 530, 525, 47993,
)  # fmt: skip
VOCABULARY: dict[str, int] = dict(zip(_WORDS, _TOKENS, strict=True))
"""CLIP's token of every word a caption may use. Each is one token, so that training needs no
tokenizer and the text encoder knows where a word stands."""

START, END, LENGTH = 49406, 49407, 77
"""CLIP's tokens before and after a text, and how many there are with them."""


def tokens(text: str) -> list[int]:
    """77 tokens of a caption, as CLIP's tokenizer gives them; words past 75 are dropped.

    Raises KeyError for a word that is not in VOCABULARY.
    """
    ids = [VOCABULARY[word] for word in text.replace(",", " ,").split()][: LENGTH - 2]
    return [START, *ids] + [END] * (LENGTH - 1 - len(ids))


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """From `a` (share 0) to `b` (share 1)."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue
