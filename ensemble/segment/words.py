"""From what people write to what the models know: word lists, synonyms, labels and phrases."""

import re

# Words that mean the same to every backend. The right side is the name the tables below use.
SYNONYMS = {
    name: concept
    for concept, names in {
        "foreground": "subject",
        "background": "backdrop surroundings scenery",
        "person": "people human man woman boy girl someone body",
        "clothes": "clothing cloth garment garments outfit apparel attire costume",
        "top": "shirt tshirt t-shirt blouse sweater jacket coat hoodie upper-clothes suit",
        "pants": "trousers jeans shorts leggings",
        "dress": "gown",
        "skirt": "skirts",
        "shoes": "shoe boots boot sneakers footwear",
        "hat": "cap headwear beanie helmet",
        "scarf": "shawl",
        "belt": "belts",
        "bag": "handbag purse backpack",
        "glasses": "sunglasses eyeglasses spectacles",
        "hair": "haircut hairstyle",
        "face": "faces",
        "head": "heads",
        "skin": "flesh",
        "arms": "arm hands hand",
        "legs": "leg",
        "neck": "throat",
        "ears": "ear",
        "eyes": "eye",
        "eyebrows": "eyebrow brows brow",
        "lips": "lip",
        "mouth": "mouths",
        "nose": "noses",
        "earrings": "earring",
        "necklace": "necklaces",
    }.items()
    for name in names.split()
}

# concept -> labels of mattmdjaga/segformer_b2_clothes (ATR data set)
CLOTHES_PARTS = {
    "clothes": ("Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Scarf"),
    "top": ("Upper-clothes",),
    "pants": ("Pants",),
    "dress": ("Dress",),
    "skirt": ("Skirt",),
    "shoes": ("Left-shoe", "Right-shoe"),
    "hat": ("Hat",),
    "scarf": ("Scarf",),
    "belt": ("Belt",),
    "bag": ("Bag",),
    "glasses": ("Sunglasses",),
    "hair": ("Hair",),
    "face": ("Face", "Sunglasses"),
    "head": ("Face", "Hair", "Hat", "Sunglasses"),
    "skin": ("Face", "Left-arm", "Right-arm", "Left-leg", "Right-leg"),
    "arms": ("Left-arm", "Right-arm"),
    "legs": ("Left-leg", "Right-leg"),
}

_EYES = ("eye_g", "l_eye", "r_eye", "l_brow", "r_brow")
_FACE = ("skin", "nose", *_EYES, "mouth", "u_lip", "l_lip")
# concept -> labels of jonathandinu/face-parsing (CelebAMask-HQ data set)
FACE_PARTS = {
    "face": _FACE,
    "head": (*_FACE, "l_ear", "r_ear", "hair", "hat", "ear_r"),
    "skin": ("skin", "nose", "l_ear", "r_ear", "neck"),
    "hair": ("hair",),
    "hat": ("hat",),
    "glasses": ("eye_g",),
    "ears": ("l_ear", "r_ear"),
    "eyes": ("l_eye", "r_eye"),
    "eyebrows": ("l_brow", "r_brow"),
    "nose": ("nose",),
    "lips": ("u_lip", "l_lip"),
    "mouth": ("mouth", "u_lip", "l_lip"),
    "neck": ("neck",),
    "earrings": ("ear_r",),
    "necklace": ("neck_l",),
    "clothes": ("cloth",),
}


_WORD = re.compile(
    r"""["“”]([^"“”]*)["“”] | (?<![^\s,])'([^']*)'(?![^\s,]) | ([^\s,"“”]+)""", re.VERBOSE
)


def split_words(text: str) -> tuple[str, ...]:
    """Lower-case words and quoted phrases, in order, each once. Commas and spaces separate.

    >>> split_words('Hat shoes, "red scarf" hat')
    ('hat', 'shoes', 'red scarf')
    """
    found = (" ".join((a or b or c).split()).lower() for a, b, c in _WORD.findall(text))
    return tuple(dict.fromkeys(word for word in found if word))


def concept(word: str) -> str:
    """The name our tables have for a word; a word they do not have stays as it is."""
    return SYNONYMS.get(word, word)


def open_phrase(word: str) -> str:
    """What to ask a model of free phrases: the user's own word, where it names a thing."""
    return "person" if concept(word) == "foreground" else word
