import difflib
import json
import time

import folder_paths
import pytest
from ensemble_portraits.ensemble.lora.aliases import AliasFileError, alias_path, read_aliases
from ensemble_portraits.ensemble.lora.names import (
    AmbiguousNameError,
    ModelNames,
    UnknownNameError,
    UnresolvedNameError,
    closest,
    name_without_folder,
    names_in,
    resolve,
)
from hypothesis import given
from hypothesis import strategies as st

FILES = [
    "add_detail.v2.safetensors",
    "ganyu-lora.safetensors",
    "people/Bob.safetensors",
    "people/ann.safetensors",
    "style/ann.safetensors",
    "styles/ink.pt",
    "styles/ink.safetensors",
    "win\\dows.safetensors",
]
ALIAS_FILE = "/user/aliases.json"
ALIASES = {"849330": "people/ann", "ann": "style/ann.safetensors", "lost": "gone", "vague": "ink"}


def resolve_among(name, files, aliases):
    return ModelNames("loras", files, aliases, ALIAS_FILE).resolve(name)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("people/ann.safetensors", "people/ann.safetensors"),
        ("people\\ann.safetensors", "people/ann.safetensors"),
        ("./people/ann", "people/ann.safetensors"),
        ("  ganyu-lora\n", "ganyu-lora.safetensors"),
        ("PEOPLE/BOB", "people/Bob.safetensors"),
        ("bob.SAFETENSORS", "people/Bob.safetensors"),
        ("Bob", "people/Bob.safetensors"),
        ("add_detail.v2", "add_detail.v2.safetensors"),
        ("styles/ink.pt", "styles/ink.pt"),
        ("ink.pt", "styles/ink.pt"),
        ("win/dows", "win\\dows.safetensors"),
        ("849330", "people/ann.safetensors"),
        # An alias settles a name that several files bear.
        ("ann", "style/ann.safetensors"),
    ],
)
def test_a_name_that_is_clear(name, file):
    assert resolve_among(name, FILES, ALIASES) == file


def test_the_first_rule_that_hits_decides():
    files = [
        "a.safetensors",
        "A.safetensors",
        "x/a.safetensors",
        "b/C.safetensors",
        "d/c.safetensors",
    ]
    assert resolve_among("a", files, {"a": "x/a"}) == "a.safetensors"
    assert resolve_among("A", files, {}) == "A.safetensors"
    assert resolve_among("c", files, {}) == "d/c.safetensors"


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("styles/ink", {"styles/ink.pt", "styles/ink.safetensors"}),
        ("INK", {"styles/ink.pt", "styles/ink.safetensors"}),
    ],
)
def test_a_name_of_several_files_is_ambiguous(name, candidates):
    with pytest.raises(AmbiguousNameError, match="means 2 files in 'loras'") as caught:
        resolve_among(name, FILES, {})
    assert set(caught.value.nearest) == candidates
    for candidate in candidates:
        assert candidate in str(caught.value)


@pytest.mark.parametrize(
    "name", ["an", "nn", "ganyu", "lora", "ganyu lora", "", "   ", "/", "..", "*"]
)
def test_part_of_a_name_is_no_name(name):
    with pytest.raises(UnknownNameError):
        resolve_among(name, FILES, {})


def test_an_unknown_name_lists_names_like_it_and_the_alias_file():
    with pytest.raises(UnknownNameError) as caught:
        resolve_among("gannyu_lora", FILES, ALIASES)
    assert caught.value.nearest[0] == "ganyu-lora.safetensors"
    assert 1 <= len(caught.value.nearest) <= 3
    assert "ganyu-lora.safetensors" in str(caught.value) and ALIAS_FILE in str(caught.value)


def test_a_mistyped_id_finds_the_id():
    with pytest.raises(UnknownNameError) as caught:
        resolve_among("849331", FILES, ALIASES)
    assert caught.value.nearest[0] == "849330"


def test_an_alias_to_nothing_or_to_several_says_so():
    with pytest.raises(UnknownNameError, match=r"'lost' stands for 'gone'.*no file"):
        resolve_among("lost", FILES, ALIASES)
    with pytest.raises(AmbiguousNameError, match=r"'vague' stands for 'ink'.*several"):
        resolve_among("vague", FILES, ALIASES)


def test_an_empty_folder_says_so():
    with pytest.raises(UnknownNameError, match="No file there has a name like it"):
        resolve_among("ann", [], {})


paths = st.lists(
    st.text(st.sampled_from("abAB.1 -"), min_size=1, max_size=5).map(str.strip).filter(bool),
    min_size=1,
    max_size=3,
).map(lambda parts: "/".join(parts) + ".safetensors")


@given(st.lists(paths, unique=True, min_size=1, max_size=12), st.data())
def test_every_file_is_found_by_its_own_path_and_stem(files, data):
    file = data.draw(st.sampled_from(files))
    assert resolve_among(file, files, {}) == file
    assert resolve_among(file.replace("/", "\\"), files, {}) == file
    assert resolve_among(file.removesuffix(".safetensors"), files, {}) in files


@given(st.lists(paths, unique=True, max_size=12), st.text(max_size=30) | st.sampled_from("abAB"))
def test_any_name_gives_a_file_of_that_name_or_an_error(files, name):
    try:
        file = resolve_among(name, files, {})
    except UnresolvedNameError as error:
        assert set(error.nearest) <= set(files) and len(error.nearest) <= 3
        return
    wanted = name_without_folder(name).casefold()
    assert name_without_folder(file).casefold() == wanted


def test_time_grows_linearly_with_the_files():
    def seconds(count: int) -> float:
        files = [f"folder{i % 7}/some_style_{i:05}_v2.safetensors" for i in range(count)]
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            with pytest.raises(UnknownNameError):
                resolve_among("sume_style_00123_v3" * 100_000, files, {})
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(2_000) < 30 * seconds(200)


def test_resolve_reads_comfyuis_folders_and_the_alias_file(save, user_folder):
    save("people/zoe.safetensors")
    entry = {"lora": "people/zoe", "trigger": "zoe woman"}
    alias_path().write_text(
        json.dumps({"loras": {"77": "zoe"}, "people": {"friend": entry, "other": {"class": "dog"}}})
    )
    for name in ("zoe", "people/ZOE", "77", "friend"):
        assert resolve(name, "loras").replace("\\", "/") == "people/zoe.safetensors"
    with pytest.raises(UnknownNameError, match="in 'checkpoints'"):
        resolve("77", "checkpoints")
    with pytest.raises(UnknownNameError):
        resolve("other", "loras")
    assert read_aliases().people["friend"] == entry


def test_a_name_is_looked_up_once_as_long_as_the_folder_stays_the_same(save, monkeypatch):
    save("once.safetensors")
    looked_up = []
    look_up = ModelNames._look_up
    monkeypatch.setattr(
        ModelNames, "_look_up", lambda self, name: looked_up.append(name) or look_up(self, name)
    )
    for _ in range(3):
        assert resolve("once", "loras") == "once.safetensors"
        assert names_in("loras").match("never").error is not None
    assert looked_up == ["once", "never"]
    save("x/never.safetensors")
    assert resolve("never", "loras").endswith("never.safetensors")


def test_other_folders_resolve_too():
    assert resolve("SMALL_SD15", "checkpoints") == "small_sd15.safetensors"
    assert resolve("small_vae", "vae") == "small_vae.safetensors"
    assert resolve("small_embedding", "embeddings") == "small_embedding.safetensors"


def test_without_an_alias_file_there_are_no_aliases(user_folder):
    assert read_aliases().of_folder("loras") == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "object of sections"),
        ('{"loras": []}', "'loras' must be an object"),
        ('{"loras": {"1": 2}}', "'loras', '1' must be a file name"),
        ('{"people": {"1": "ann"}}', "'people', '1' must be an object"),
    ],
)
def test_a_bad_alias_file_is_an_error_that_names_it(content, words, user_folder):
    alias_path().write_text(content)
    with pytest.raises(AliasFileError, match=words) as caught:
        resolve("small_sd15", "checkpoints")
    assert f"{alias_path().parents[2].name}/default/ensemble/aliases.json" in str(caught.value)
    assert str(alias_path()) not in str(caught.value)


def test_a_path_outside_the_folders_is_no_name(tmp_path, loras_folder):
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(b"x")
    for name in (str(secret), "../secret.safetensors", "../secret"):
        with pytest.raises(UnknownNameError):
            resolve(name, "loras")
    assert folder_paths.get_full_path("loras", "../secret.safetensors") is None


@given(st.text("abc_1", max_size=8), st.lists(st.text("abc_1", max_size=8), unique=True))
def test_the_closest_are_those_that_difflib_finds(word, spellings):
    expected = difflib.get_close_matches(word, spellings, n=6, cutoff=0.0)
    assert closest(word, spellings, 6) == expected
