"""docs/openapi.yaml against the routes that exist and the fields that are read."""

import json
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from ensemble_portraits.ensemble.recipes.settings import JSON_ALIASES, JSON_FIELDS
from ensemble_portraits.ensemble.server.access import Gate
from ensemble_portraits.ensemble.server.api.hosted import register_hosted
from ensemble_portraits.ensemble.server.api.run import register_run
from ensemble_portraits.ensemble.server.editor.compile import register_compile
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

FIXTURES = Path(__file__).parent.parent / "fixtures" / "recipes"
DOCS = Path(__file__).parent.parent.parent / "docs"
SPEC = yaml.safe_load((DOCS / "openapi.yaml").read_text(encoding="utf-8"))
PAGE = (DOCS / "api.md").read_text(encoding="utf-8")
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def routes(talk):
    """Method and path of every route of the API."""
    found = set()

    async def scenario(_, service):
        table = web.RouteTableDef()
        register_compile(table, Gate())
        register_hosted(table, service)
        register_run(table, service)
        found.update((route.method.lower(), route.path) for route in table)

    talk(scenario)
    return found


def test_the_file_is_openapi_3_1():
    assert SPEC["openapi"].startswith("3.1.")
    validate(SPEC)


def test_nothing_in_the_file_is_a_key_without_a_value():
    """What a comma in an unquoted description makes of its second half."""

    def empty(value, path=""):
        if isinstance(value, dict):
            for key, each in value.items():
                yield from empty(each, f"{path}/{key}")
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if "enum" not in path:
                    yield from empty(each, f"{path}/{index}")
        elif value is None:
            yield path

    assert list(empty(SPEC)) == []


def test_the_documented_body_fits_the_file():
    body = json.loads((FIXTURES / "lora_multi.json").read_text(encoding="utf-8"))
    schema = {"$ref": "#/components/schemas/Generate", "components": SPEC["components"]}
    Draft202012Validator(schema).validate({"key": "", **body})


def test_the_file_has_the_routes_and_no_others(routes):
    documented = {
        (method, path) for path, item in SPEC["paths"].items() for method in METHODS & item.keys()
    }
    assert documented == routes


def test_the_page_names_every_route(routes):
    assert {path for _, path in routes if path not in PAGE} == set()


def test_the_body_has_the_fields_that_are_read():
    documented = set(SPEC["components"]["schemas"]["Generate"]["properties"])
    assert documented == {setting.key for setting in JSON_FIELDS} | set(JSON_ALIASES)


def test_the_page_names_every_setting_of_the_environment():
    from ensemble_portraits.ensemble.server.api import config

    names = {value for value in vars(config).values() if str(value).startswith("ENSEMBLE_")}
    assert len(names) == 13
    assert {name for name in names if f"`{name}`" not in PAGE} == set()
