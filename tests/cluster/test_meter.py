"""The leak meter in a farm's recipes: which nodes are added, and what is told."""

from ensemble_portraits.ensemble.cluster.inputs import Pictures
from ensemble_portraits.ensemble.cluster.intake import Intake
from ensemble_portraits.ensemble.cluster.meter import meter_lines, with_meter
from ensemble_portraits.ensemble.cluster.rows import Row
from ensemble_portraits.ensemble.prompt.cast import cast_of

GRAPH = {"save": {"class_type": "SaveImage", "inputs": {"images": ["up", 0]}}}
PEOPLE = {"ann": {"faces": ["ann.png", "x.png"]}, "bob": {"faces": "bob.png"}, "cy": {}}


def test_it_looks_at_what_is_saved_beside_a_picture_of_each():
    made = with_meter(GRAPH, {"ann": "ann.png", "bob": "bob.png"})
    assert made["leak"]["inputs"]["image"] == ["up", 0]
    batch = made[made["leak"]["inputs"]["references"][0]]
    assert batch["class_type"] == "ImageBatch"
    first, second = (made[batch["inputs"][name][0]] for name in ("image1", "image2"))
    assert first["inputs"]["image"] == "ann.png" and second["inputs"]["image"] == "bob.png"
    assert with_meter(GRAPH, {}) == GRAPH


def test_its_inputs_are_those_of_the_node():
    from ensemble_portraits.nodes.leak import EnsembleLeakMeter

    schema = EnsembleLeakMeter.define_schema()
    needed = {each.id for each in schema.inputs if not each.optional}
    given = with_meter(GRAPH, {"ann": "a.png"})["leak"]["inputs"].keys()
    assert needed <= given <= {each.id for each in schema.inputs}


def test_people_are_told_by_name():
    graph = with_meter(GRAPH, {"ann": "ann.png"})
    outputs = {"leak": {"text": ["picture 1: 1 faces\nperson 1: looks like person 2"]}}
    assert meter_lines(graph, outputs, ["ann"]) == [
        "picture 1: 1 faces",
        "ann: looks like person 2",
    ]
    assert meter_lines(GRAPH, outputs, []) == []


def test_only_where_everybody_has_a_face(tmp_path):
    (tmp_path / "ann.png").write_bytes(b"x")
    intake = Intake(Pictures(tmp_path), tmp_path, cast_of({"people": PEOPLE}), measure=True)
    texts = ["a BREAK BREAK @bob BREAK @ann", "a BREAK BREAK @cy BREAK @ann", "a man"]
    both, one, nobody = intake.jobs(Row(n, each) for n, each in enumerate(texts, 1))
    assert both.spec["faces"] == {"bob": "bob.png", "ann": "ann.png"}
    assert both.needs.pictures == ("bob.png", "ann.png")
    assert "faces" not in one.spec and "faces" not in nobody.spec
