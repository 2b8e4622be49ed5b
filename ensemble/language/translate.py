"""Prompts in 52 languages -> English, by mBART-50 from a folder.

Tags, embeddings, BREAK and emphasis brackets are no words: they stay as they are, and the words
between them are translated piece by piece.
"""

import functools
import re
from typing import Any

import torch

from ..models.loading import Loaded, load_folder, named_folder

FOLDER = "translation"
AUTO = "auto"
ENGLISH = "en"
# facebook/mbart-large-50: ISO 639-1 -> the model's own codes.
_CODES = (
    "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT "
    "lv_LV my_MM ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN af_ZA az_AZ bn_IN fa_IR he_IL "
    "hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN "
    "th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI"
)
LANGUAGES = {code[:2]: code for code in _CODES.split(" ")}
_SYNTAX = re.compile(
    r"<[^<>]*>|(?<![\w-])BREAK(?![\w-])|embedding:[^\s,]+|:\s*[\d.]+\s*\)|[()\[\]\n]|\\."
)
_MOST_TOKENS = 1000
# Seldom in another language of the 52 in its plain letters, and not two of them at once. "of", "her"
# and "and" alone are words of Dutch, German, Turkish and Danish.
_ENGLISH = re.compile(
    r"\b(?:the|with|his|their|wearing|from|standing|looking|woman|of an?)\b", re.ASCII
)


def detect_language(text: str) -> str:
    """ISO 639-1 code of the language, one of the 52; English where the text has no words."""
    words = _SYNTAX.sub(" ", text)
    if not any(char.isalpha() for char in words):
        return ENGLISH
    return _identifier().classify(words)[0]


def is_plainly_english(text: str) -> bool:
    """Whether a text is English for certain, told without py3langid: plain letters, two different
    words of English's own, and one to every dozen words."""
    words = _SYNTAX.sub(" ", text).lower()
    found = _ENGLISH.findall(words)
    return text.isascii() and len(set(found)) > 1 and len(found) * 12 >= len(words.split())


@functools.cache
def _identifier() -> Any:
    """py3langid's identifier over its packaged model, a constant that is slow to read."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise ValueError(
            "language: auto needs the package py3langid; install it, or choose the language"
        ) from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(LANGUAGES))
    return identifier


def load_translator(name: str) -> Loaded:
    """The mBART-50 model in `models/translation/<name>`. Raises ValueError, see load_folder."""
    folder = named_folder(FOLDER, name)
    loaded = load_folder(FOLDER, folder, "MBartForConditionalGeneration", "AutoTokenizer")
    if not hasattr(loaded.processor, "lang_code_to_id"):
        raise ValueError(
            f"models/{FOLDER}/{name} is no mBART-50 model: its tokenizer is a "
            f"{type(loaded.processor).__name__}. Use a folder such as "
            "facebook/mbart-large-50-many-to-one-mmt."
        )
    return loaded


def translate(text: str, translator: Loaded, language: str) -> str:
    """`text` in English. `language` is an ISO 639-1 code among the 52."""
    if language == ENGLISH:
        return text
    out: list[str] = []
    at = 0
    for mark in _SYNTAX.finditer(text):
        out += [_translate_piece(text[at : mark.start()], translator, language), mark[0]]
        at = mark.end()
    out.append(_translate_piece(text[at:], translator, language))
    return "".join(out)


def _translate_piece(piece: str, translator: Loaded, language: str) -> str:
    """The words of `piece` in English, with the spaces and commas around them kept."""
    words = piece.strip(" \t,")
    if not any(char.isalpha() for char in words):
        return piece
    net, device = translator.on_device()
    tokenizer = translator.processor
    tokenizer.src_lang = LANGUAGES[language]
    tokens = tokenizer(words, return_tensors="pt", truncation=True, max_length=_MOST_TOKENS)
    with torch.inference_mode():
        found = net.generate(
            **tokens.to(device),
            forced_bos_token_id=tokenizer.lang_code_to_id[LANGUAGES[ENGLISH]],
        )
    english = tokenizer.batch_decode(found, skip_special_tokens=True)[0]
    return piece.replace(words, english.strip(), 1)


def translate_texts(
    texts: tuple[str, ...], model: str, language: str
) -> tuple[tuple[str, ...], str]:
    """The texts in English, and the language they were read as.

    One language for all: the first text decides where it is `auto`. The model is read only where
    there is something to translate.
    """
    found = detect_language(texts[0]) if language == AUTO else language
    if found == ENGLISH:
        return texts, found
    translator = load_translator(model)
    return tuple(translate(text, translator, found) for text in texts), found
