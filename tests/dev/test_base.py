import json

import pytest

from dev import DevError
from dev.base import PACK_FOLDER, make_base
from dev.cache import ROOT


def test_a_base_directory_holds_the_pack_and_the_models(tmp_path):
    models = tmp_path / "models"
    (models / "loras").mkdir(parents=True)
    base = make_base(tmp_path / "base", models)
    assert (base / "custom_nodes" / PACK_FOLDER).resolve() == ROOT
    assert (base / "models" / "loras").is_dir()
    assert (base / "input").is_dir()


def test_it_follows_new_models_and_keeps_the_users_files(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").touch()
    base = make_base(tmp_path / "base", tmp_path / "old")
    (base / "input" / "mine.png").touch()
    aliases = base / "user" / "default" / "ensemble" / "aliases.json"
    aliases.write_text('{"loras": {"849330": "mine.safetensors"}, "people": {"anna": {}}}')

    make_base(base, tmp_path / "new")
    assert (base / "models" / "new.txt").exists()
    assert (base / "input" / "mine.png").exists()
    # The old set itself is untouched: only the link moved.
    assert (tmp_path / "old" / "old.txt").exists()
    merged = json.loads(aliases.read_text())
    assert merged["loras"]["849330"] == "mine.safetensors"
    assert merged["loras"]["861629"] == "people/ohwx_second.safetensors"
    assert merged["people"] == {"anna": {}}


@pytest.mark.parametrize("text", ["{", "[]", '{"loras": "mine"}'])
def test_an_alias_file_that_cannot_be_read_is_named_and_kept(tmp_path, text):
    (tmp_path / "models").mkdir()
    base = make_base(tmp_path / "base", tmp_path / "models")
    aliases = base / "user" / "default" / "ensemble" / "aliases.json"
    aliases.write_text(text)
    with pytest.raises(DevError, match=r"aliases\.json cannot be read"):
        make_base(base, tmp_path / "models")
    assert aliases.read_text() == text
