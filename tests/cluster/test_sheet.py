import json

import pytest
from ensemble_portraits.ensemble.cluster.inputs import Pictures
from ensemble_portraits.ensemble.cluster.intake import Intake
from ensemble_portraits.ensemble.cluster.job import BadLine
from ensemble_portraits.ensemble.cluster.rows import Row
from ensemble_portraits.ensemble.cluster.sheet import expand_rows
from ensemble_portraits.ensemble.prompt.cast import cast_of

PEOPLE = {"ann": {"words": "a woman", "lora": "ann"}, "bob": {"words": "a man"}, "cy": {}}
SCENES = [
    {"name": "park", "text": "a park BREAK BREAK @each"},
    "a bar BREAK BREAK @ann BREAK @bob",
    "an empty street",
    {"name": "x", "text": "a park BREAK BREAK @dora"},
    3,
]


def jobs(tmp_path, people=PEOPLE, seeds=(1, 2)):
    cast = cast_of({"people": people})
    rows = expand_rows((Row(n, each) for n, each in enumerate(SCENES, 1)), cast, seeds)
    return list(Intake(Pictures(tmp_path), tmp_path, cast).jobs(rows))


def test_cast_by_scenes_by_seeds(tmp_path):
    found = jobs(tmp_path)
    good = [each for each in found if not isinstance(each, BadLine)]
    assert [(j.cell.scene, j.cell.person, j.cell.seed) for j in good] == [
        ("park", "ann", 1), ("park", "ann", 2), ("park", "bob", 1), ("park", "bob", 2),
        ("park", "cy", 1), ("park", "cy", 2),
        ("scene 2", "ann and bob", 1), ("scene 2", "ann and bob", 2),
    ]  # fmt: skip
    assert good[0].name == "park-ann-1"
    assert good[0].spec["request"]["seed"] == 1
    assert good[0].needs.loras == "ann:1"
    assert set(good[0].spec["request"]["cast"]["people"]) == {"ann"}


@pytest.mark.parametrize(
    ("line", "says"), [(3, "no person"), (4, "@dora is nobody"), (5, "a scene is a text")]
)
def test_scenes_that_are_none(tmp_path, line, says):
    bad = {each.line: each for each in jobs(tmp_path) if isinstance(each, BadLine)}
    assert set(bad) == {3, 4, 5}
    assert says in bad[line].error


def test_only_what_changed_is_another_job(tmp_path):
    before = {job.name: job.key for job in jobs(tmp_path)}
    changed = json.loads(json.dumps(PEOPLE))
    changed["bob"]["words"] = "a tall man"
    after = {job.name: job.key for job in jobs(tmp_path, changed)}
    differs = {name for name in before if before[name] != after[name]}
    assert differs == {"park-bob-1", "park-bob-2", "scene_2-1", "scene_2-2"}


def test_a_graphs_slots_are_a_scene_too(tmp_path):
    graph = {
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "x"}},
        "3": {"class_type": "KSampler", "inputs": {"seed": None}},
    }
    rows = [Row(1, {"graph": graph, "set": {"6.text": "a park, @each smiling"}, "name": "park"})]
    cast = cast_of({"people": PEOPLE})
    found = list(Intake(Pictures(tmp_path), tmp_path, cast).jobs(expand_rows(rows, cast, (7, 8))))
    assert len(found) == 6
    inputs = [
        (job.spec["graph"]["6"]["inputs"]["text"], job.spec["graph"]["3"]["inputs"]["seed"])
        for job in found
    ]
    assert inputs[:2] == [
        ("a park, a woman <lora:ann:1> smiling", 7),
        ("a park, a woman <lora:ann:1> smiling", 8),
    ]
    assert (found[2].cell.scene, found[2].cell.person, found[2].cell.seed) == ("park", "bob", 7)
    bad = Row(1, {"graph": graph, "set": {"6.text": "@dora"}})
    (line,) = Intake(Pictures(tmp_path), tmp_path, cast).jobs([bad])
    assert isinstance(line, BadLine) and "@dora is nobody" in line.error
