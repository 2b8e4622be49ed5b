"""The public contract of the nodes: ids, inputs and outputs stay; everything is explained."""

import asyncio
import json
import os
from pathlib import Path

import ensemble_portraits
import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = Path(__file__).with_name("contract.json")
SKILL = (ROOT / "SKILL.md").read_text(encoding="utf-8")


def nodes() -> list:
    extension = asyncio.run(ensemble_portraits.comfy_entrypoint())
    return asyncio.run(extension.get_node_list())


NODES = {node.GET_SCHEMA().node_id: node for node in nodes()}


def shape(node) -> dict:
    schema = node.GET_SCHEMA()
    return {
        "inputs": [[i.id, i.get_io_type()] for i in schema.inputs],
        "outputs": [o.get_io_type() for o in schema.outputs],
    }


def test_ids_are_unique():
    assert len(NODES) == len(nodes())


@pytest.mark.parametrize("node_id", sorted(NODES))
def test_everything_is_explained(node_id):
    schema = NODES[node_id].GET_SCHEMA()
    for each in [*schema.inputs, *schema.outputs]:
        assert each.tooltip, f"{node_id}.{each.id or each.display_name} has no tooltip"
    assert schema.category.split("/")[0] == "Ensemble"
    assert schema.description and schema.search_aliases
    assert (ROOT / "web" / "docs" / f"{node_id}.md").is_file(), "no help page"
    assert f"`{node_id}`" in SKILL, "not in the table of nodes of SKILL.md"


def test_nothing_that_workflows_rely_on_is_gone():
    """contract.json is what has been promised; ENSEMBLE_UPDATE_CONTRACT=1 adds what is new to it."""
    promised = json.loads(CONTRACT.read_text(encoding="utf-8")) if CONTRACT.exists() else {}
    current = {node_id: shape(node) for node_id, node in sorted(NODES.items())}
    for node_id, old in promised.items():
        assert node_id in current, f"{node_id} was removed"
        new = current[node_id]
        assert all(each in new["inputs"] for each in old["inputs"]), node_id
        assert new["outputs"][: len(old["outputs"])] == old["outputs"], node_id
    if os.environ.get("ENSEMBLE_UPDATE_CONTRACT"):
        CONTRACT.write_text(json.dumps(current, indent=1) + "\n", encoding="utf-8")
    elif current != promised:
        pytest.fail("new nodes or inputs: run with ENSEMBLE_UPDATE_CONTRACT=1 and commit the file")
