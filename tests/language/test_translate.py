import sys

import pytest
import torch
from ensemble_portraits.ensemble.language.translate import (
    LANGUAGES,
    _identifier,
    detect_language,
    is_plainly_english,
    load_translator,
    translate,
    translate_texts,
)

from dev.models.hosted import make_translator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import folder_paths

    root = tmp_path_factory.mktemp("models") / "translation"
    make_translator(root / "small")
    folder_paths.add_model_folder_path("translation", str(root))
    yield root / "small"
    folder_paths.folder_names_and_paths["translation"][0].remove(str(root))


def documented_use(folder, text: str, language: str) -> str:
    """The lines of mBART-50's own documentation."""
    from transformers import MBart50Tokenizer, MBartForConditionalGeneration

    net = MBartForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = MBart50Tokenizer.from_pretrained(folder, src_lang=language)
    tokens = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        out = net.generate(**tokens, forced_bos_token_id=tokenizer.convert_tokens_to_ids("en_XX"))
    return tokenizer.batch_decode(out, skip_special_tokens=True)[0].strip()


@pytest.mark.parametrize(
    ("language", "text"),
    [("de", "eine frau mit hut"), ("fr", "une femme et un chien"), ("es", "un jardín")],
)
def test_equals_the_librarys_documented_use(folder, language, text):
    assert translate(text, load_translator("small"), language) == documented_use(
        folder, text, LANGUAGES[language]
    )


def test_languages_are_the_52_of_mbart_50():
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES

    assert sorted(LANGUAGES.values()) == sorted(FAIRSEQ_LANGUAGE_CODES)
    assert len(LANGUAGES) == 52


def test_tags_breaks_embeddings_and_weights_stay(folder):
    translator = load_translator("small")
    text = "ein haus BREAK <lora:anna:0.5>, (eine frau:1.3), embedding:hut\n[ein hund]"
    english = translate(text, translator, "de")
    pieces = ["ein haus", "eine frau", "ein hund"]
    expected = text
    for piece in pieces:
        expected = expected.replace(piece, translate(piece, translator, "de"))
    assert english == expected
    assert english != text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("a beautiful woman walking on the beach", "en"),
        ("una mujer hermosa caminando por la playa", "es"),
        ("eine schöne Frau geht am Strand spazieren", "de"),
        ("красивая женщина идёт по пляжу", "ru"),
        ("海辺を歩く美しい女性", "ja"),
        ("सुंदर महिला समुद्र तट पर चल रही है", "hi"),
        ("<lora:eine_frau:1> ((1:2))", "en"),
        ("", "en"),
    ],
)
def test_languages_are_told_apart(text, language):
    assert detect_language(text) == language


def test_english_is_left_alone_without_reading_a_model():
    texts = ("a beautiful woman walking on the beach", "hüte")
    assert translate_texts(texts, "no such model", "auto") == (texts, "en")


def test_a_missing_model_says_where_it_belongs(folder):
    with pytest.raises(ValueError, match="no model folder in models/translation"):
        translate_texts(("eine schöne frau am strand", ""), "../small", "auto")


def test_another_models_folder_is_refused(folder):
    from dev.models.hosted import make_safety_checker

    make_safety_checker(folder.parent / "other", 0.0)
    with pytest.raises(
        ValueError, match=r"models/translation/other (cannot be read|is no mBART-50 model)"
    ):
        load_translator("other")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a portrait of a woman, <lora:von:1>", True),
        ("photo, masterpiece, 8k", False),  # no small word: nobody knows
        ("una mujer en el jardin", False),
        ("eine Frau in der Stadt", False),
        ("une femme dans un jardin <lora:of:1>", False),
        ("the café", False),
        ("een man of een vrouw in de tuin", False),
        ("ein Mann kommt her, Sonne", False),
        ("her gece bir kadin", False),
        ("en and og en and", False),
        ("the, the, the", False),
        ("", False),
    ],
)
def test_plain_english_is_known_without_help(text, plain):
    assert is_plainly_english(text) is plain


def test_without_py3langid_auto_says_what_to_install(monkeypatch):
    detection = "py3langid.langid"
    monkeypatch.setitem(sys.modules, detection, None)
    _identifier.cache_clear()
    with pytest.raises(ValueError, match="needs the package py3langid"):
        detect_language("eine schöne frau")
    monkeypatch.undo()
    assert detect_language("eine schöne frau am strand") == "de"
