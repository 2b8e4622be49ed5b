"""The identity benchmark: its scenes, its reading of drawn people, and what it says without files."""

import json
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dev.cache import ROOT
from dolls.world import draw

sys.path.append(str(ROOT / "benchmarks"))

import identity
import identity_readers
import identity_scenes


def painter(stage) -> SimpleNamespace:
    return SimpleNamespace(stage=stage)


def picture(stage) -> torch.Tensor:
    return torch.from_numpy(np.asarray(draw(stage.scene)).astype(np.float32) / 255)[None]


@pytest.mark.parametrize("people", [1, 2, 3, 4, 5])
def test_drawings_of_the_scenes_are_read_as_themselves(people):
    """In every layout at the size the dolls have; where people overlap, hair is hidden."""
    for layout in identity_scenes.LAYOUTS:
        stage = identity_scenes.stage(people, layout, 192, 0)
        read = identity_readers.Drawn().measures(picture(stage), painter(stage))
        assert read.asked == people == len(stage.heads)
        if layout == "apart":
            assert read.count_right and read.right_share == 1.0 and read.scr == 0.0


def test_an_empty_picture_has_nobody():
    stage = identity_scenes.stage(3, "apart", 192, 0)
    empty = torch.full_like(picture(stage), 0.5)
    read = identity_readers.Drawn().measures(empty, painter(stage))
    assert read.faces == 0 and read.right_share is None and not read.count_right


def test_layouts_differ_in_place_alone():
    stages = {name: identity_scenes.stage(3, name, 192, 0) for name in identity_scenes.LAYOUTS}
    for name, gap in identity_scenes.LAYOUTS.items():
        if gap is None:
            continue
        people = stages[name].scene.people
        spans = [(min(x for x, _ in p.all_joints), max(x for x, _ in p.all_joints)) for p in people]
        width = np.mean([right - left for left, right in spans])
        for (_, right), (left, _) in pairwise(spans):
            assert left - right == pytest.approx(gap * width)
        middle = (spans[0][0] + spans[-1][1]) / 2
        assert middle == pytest.approx(stages[name].size[0] / 2)
        for moved, before in zip(people, stages["apart"].scene.people, strict=True):
            assert [y for _, y in moved.all_joints] == [y for _, y in before.all_joints]


def test_without_the_dolls_weights_there_is_one_line_and_no_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dolls.weights.SHIPPED", tmp_path)
    identity.main(["--json", str(tmp_path / "rows.json")])
    said = capsys.readouterr().out.strip()
    assert "no LoRAs or no ControlNet yet" in said and "\n" not in said
    assert json.loads((tmp_path / "rows.json").read_text()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lora", "a.safetensors"], "Give both"),
        (["--checkpoint", "none.safetensors", "--lora", "a"], "none.safetensors is not a file"),
        (["--checkpoint", "FILE", "--lora", "FILE", "--text", "a", "--text", "b"], "2 for 1 LoRAs"),
        (
            ["--checkpoint", "FILE", "--lora", "FILE", "--people", "2"],
            "--people: there are 1 LoRAs",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(tmp_path, arguments, said):
    file = tmp_path / "file.safetensors"
    file.write_bytes(b"")
    arguments = [str(file) if each == "FILE" else each for each in arguments]
    with pytest.raises(SystemExit, match=said):
        identity.main(arguments)
