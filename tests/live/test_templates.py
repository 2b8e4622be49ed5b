"""The editor's workflows are their API graphs, laid out."""

import json

import pytest

from dev.templates import WORKFLOWS, editor_form, names


@pytest.mark.parametrize("name", names())
def test_the_editor_form_is_that_of_the_api_graph(server, name):
    file = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    assert file == editor_form(name, server.object_info()), "run `python dev templates`"
