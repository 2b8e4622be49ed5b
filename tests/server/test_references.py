"""What the editor is told of pictures that `<ref:NAME>` can mean."""

import json
import os
from pathlib import Path

import folder_paths
from ensemble_portraits.ensemble.server.editor import routes as editor

from tests.server.asking import call, read


def test_pictures_are_listed_by_the_names_to_write(machine, tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    (pictures / "x").mkdir(parents=True)
    for name in ("ann.png", "x/ben.jpg", "eve.png", "eve.webp", "words.txt"):
        (pictures / name).touch()
    monkeypatch.setattr(folder_paths, "input_directory", str(pictures))
    machine("ann.safetensors")
    Path(folder_paths.get_user_directory(), "default", "ensemble", "aliases.json").write_text(
        json.dumps({"images": {"boss": "ann.png"}, "people": {"cleo": {"faces": ["x/ben.jpg"]}}})
    )
    status, answer = call("GET", editor.REFERENCES_PATH)
    assert status == 200 and not answer["problem"]
    assert answer["aliases"] == {"cleo": "x/ben.jpg", "boss": "ann.png"}
    names = {each["file"].replace(os.sep, "/"): each["name"] for each in answer["references"]}
    assert names == {
        "ann.png": "ann", "x/ben.jpg": "ben", "eve.png": "eve.png", "eve.webp": "eve.webp"
    }  # fmt: skip
    found = read(text=f"s BREAK BREAK x <ref:{names['x/ben.jpg']}>")["parts"][2]["reference"]
    assert found["status"] == "found"
