"""The other languages say what English says: the same keys and placeholders, and nothing left behind.

translated_from.json holds a short hash of the English that each text was translated from. When English
changes, the test names the keys to translate anew; after that, ENSEMBLE_TRANSLATED=ja (or all: de,ja,zh)
writes the hashes of that language.
"""

import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from .test_locales import ROOT, leaves

LANGUAGES = ["de", "ja", "zh"]
SOURCES = Path(__file__).with_name("translated_from.json")
# The same in every language: sockets and widgets keep the ids that errors, help pages and saved
# workflows call them by, and a recipe's example is what the services take.
SAME = re.compile(r"nodeDefs\..+\.(inputs|outputs)\.\w+\.name|main\.ensemble\.recipe\.placeholder")
# English words and signs that a language has as its own, as they stand.
TAKEN_OVER = {
    "de": {
        "Person {number}",
        "LoRAs",
        "Checkpoint",
        "Ellipse",
        "Hires Fix",
        "Panorama",
        "Sampler.",
        "Scheduler.",
    },
    "ja": set[str](),
    "zh": {"Checkpoint"},
}
EVERYWHERE = {"+ {text}"}
# What a translation must hold as often as its English: {x}, tags, BREAK, flags, folders, numbers.
KEPT = re.compile(
    r"\{[^{}]+\}|<[^<>]+>|\bBREAK\b|--\w+|\bmodels/\w+|\w+\*?\.safetensors|[a-z]+(?:_[a-z0-9]+)+|\d+(?:\.\d+)?"
)


def texts(language: str) -> dict[str, str]:
    """Every text of a language by file and key, such as `main.ensemble.people.title`."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "locales" / language).glob("*.json")):
        found |= leaves(json.loads(path.read_text(encoding="utf-8")), f"{path.stem}.")
    return found


def told(keys: list[str]) -> str:
    return "\n  ".join(["", *keys])


def short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def test_these_languages_are_there():
    assert sorted(path.name for path in (ROOT / "locales").iterdir()) == sorted(["en", *LANGUAGES])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_the_keys_of_english(language):
    english, theirs = texts("en"), texts(language)
    missing = sorted(english.keys() - theirs.keys())
    extra = sorted(theirs.keys() - english.keys())
    assert not missing, f"locales/{language} lacks:{told(missing)}"
    assert not extra, f"locales/{language} has what English has not:{told(extra)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_keeps_what_is_no_language(language):
    english, theirs = texts("en"), texts(language)
    lost = []
    for key in sorted(english.keys() & theirs.keys()):
        ours, other = (Counter(KEPT.findall(each[key])) for each in (english, theirs))
        braces = {kept for kept in ours | other if kept.startswith("{")}
        wrong = set(ours - other) | {each for each in braces if ours[each] != other[each]}
        if wrong:
            lost.append(f"{key}: {', '.join(sorted(wrong))}")
    assert not lost, f"locales/{language} loses or adds a placeholder, tag or number:{told(lost)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_stays_english_by_accident(language):
    english, theirs = texts("en"), texts(language)
    same = {key for key, text in english.items() if theirs.get(key) == text}
    changed = sorted(key for key in english.keys() - same if SAME.fullmatch(key))
    assert not changed, f"locales/{language} renames what keeps its English name:{told(changed)}"
    own = TAKEN_OVER[language] | EVERYWHERE
    by_accident = sorted(key for key in same if not SAME.fullmatch(key) and english[key] not in own)
    assert not by_accident, f"locales/{language} is still English in:{told(by_accident)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_was_translated_from_todays_english(language):
    now = {key: short_hash(text) for key, text in texts("en").items() if not SAME.fullmatch(key)}
    sources = json.loads(SOURCES.read_text(encoding="utf-8")) if SOURCES.exists() else {}
    if language in os.environ.get("ENSEMBLE_TRANSLATED", "").split(","):
        sources[language] = now
        SOURCES.write_text(json.dumps(sources, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    then = sources.get(language, {})
    stale = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
    assert not stale, (
        f"English has changed: translate these in locales/{language}, then run this test once with "
        f"ENSEMBLE_TRANSLATED={language}:{told(stale)}"
    )
