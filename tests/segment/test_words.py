"""Word lists, synonyms, the published labels, and the flags in the text."""

import pytest
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.regions.masks import Length
from ensemble_portraits.ensemble.segment.mediapipe_face import REGIONS
from ensemble_portraits.ensemble.segment.request import read_request
from ensemble_portraits.ensemble.segment.words import (
    CLOTHES_PARTS,
    FACE_PARTS,
    SYNONYMS,
    concept,
    open_phrase,
    split_words,
)
from hypothesis import given
from hypothesis import strategies as st

from .labels import CLOTHES_LABELS, FACE_LABELS


def request(words: str, negative: str = "", invert=False, dilate="0", feather="0"):
    return read_request(
        words=words, negative=negative, dilate=dilate, feather=feather, invert=invert
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foreground", ("foreground",)),
        ("clothes hat shoes", ("clothes", "hat", "shoes")),
        ("Clothes, Hat,shoes", ("clothes", "hat", "shoes")),
        ('windows "red  scarf", door', ("windows", "red scarf", "door")),
        ("'blue hat' man's hat", ("blue hat", "man's", "hat")),
        ("“tall woman” hat", ("tall woman", "hat")),
        ("hat hat HAT", ("hat",)),
        (' , "" ', ()),
        ('an open "quote', ("an", "open", "quote")),
        ("t-shirt", ("t-shirt",)),
        ("头发 шляпа", ("头发", "шляпа")),
    ],
)
def test_words_are_split(text, expected):
    assert split_words(text) == expected


@given(st.text())
def test_any_text_splits_into_distinct_words_that_split_to_themselves(text):
    words = split_words(text)
    assert len(set(words)) == len(words)
    for word in words:
        assert word == word.strip()
        if " " not in word and "'" not in word:
            assert split_words(word) == (word,)


def test_the_label_lists_are_the_published_ones():
    # Read off config.json of the two models; a slip here would paint shoes for faces.
    assert len(CLOTHES_LABELS) == 18
    assert len(FACE_LABELS) == 19
    assert CLOTHES_LABELS[4] == "Upper-clothes"
    assert CLOTHES_LABELS[11] == "Face"
    assert CLOTHES_LABELS[17] == "Scarf"
    assert FACE_LABELS[3] == "eye_g"
    assert FACE_LABELS[13] == "hair"
    assert FACE_LABELS[18] == "cloth"


def test_the_tables_use_published_labels_and_use_them_all():
    clothes = {label for labels in CLOTHES_PARTS.values() for label in labels}
    assert clothes == set(CLOTHES_LABELS) - {"Background"}
    face = {label for labels in FACE_PARTS.values() for label in labels}
    assert face == set(FACE_LABELS) - {"background"}


def test_every_synonym_leads_to_a_concept_some_table_has():
    known = {*CLOTHES_PARTS, *FACE_PARTS, *REGIONS, "foreground", "background", "person"}
    assert set(SYNONYMS.values()) <= known
    assert not set(SYNONYMS) & set(SYNONYMS.values())


@pytest.mark.parametrize(
    ("word", "clothes", "face"),
    [
        ("clothing", {"Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Scarf"}, {"cloth"}),
        ("shoes", {"Left-shoe", "Right-shoe"}, None),
        ("trousers", {"Pants"}, None),
        ("helmet", {"Hat"}, {"hat"}),
        ("sunglasses", {"Sunglasses"}, {"eye_g"}),
        ("hair", {"Hair"}, {"hair"}),
        ("lip", None, {"u_lip", "l_lip"}),
        ("eyes", None, {"l_eye", "r_eye"}),
        ("hands", {"Left-arm", "Right-arm"}, None),
    ],
)
def test_words_mean_the_right_labels(word, clothes, face):
    assert set(CLOTHES_PARTS.get(concept(word), ())) == (clothes or set())
    assert set(FACE_PARTS.get(concept(word), ())) == (face or set())


def test_the_head_has_face_hair_and_hat_and_skin_has_no_clothes():
    assert {"Face", "Hair", "Hat"} <= set(CLOTHES_PARTS["head"])
    assert not set(CLOTHES_PARTS["skin"]) & set(CLOTHES_PARTS["clothes"])
    assert not set(CLOTHES_PARTS["head"]) & set(CLOTHES_PARTS["clothes"])
    assert {"skin", "hair", "l_ear"} <= set(FACE_PARTS["head"])


def test_open_models_are_asked_for_things():
    assert open_phrase("foreground") == "person"
    assert open_phrase("red scarf") == "red scarf"


def test_the_documented_flags_are_read_from_a_whole_prompt():
    text = (
        "realistic digital painting, astronaut in a garden, 8 k --mask_prompt foreground "
        "--mask_negative clothes, hat --mask_invert --mask_dilate -20"
    )
    read = request(text)
    assert read.words == ("foreground",)
    assert read.negative == ("clothes", "hat")
    assert read.invert
    assert read.dilate == Length(-20)


def test_flags_without_mask_prompt_keep_the_text_as_words():
    read = request('person "red scarf" --mask_dilate=-20% --mask_invert false', invert=True)
    assert read.words == ("person", "red scarf")
    assert read.dilate == Length(-20, True)
    assert not read.invert


def test_a_quoted_phrase_in_a_flag_stays_whole():
    assert request('--mask_prompt "tall hat" shoes').words == ("tall hat", "shoes")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hat --mask_negativ clothes", "mask_negative"),
        ("hat --mask_dilate much", "mask_dilate"),
        ("hat --mask_invert --mask_invert", "twice"),
    ],
)
def test_flags_that_cannot_be_read_are_named(text, message):
    with pytest.raises(PromptError, match=message):
        request(text)


def test_a_negative_feather_is_refused():
    with pytest.raises(ValueError, match="feather = "):
        request("hat", feather="-3")
