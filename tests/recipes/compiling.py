"""Recipes compiled on the machine of the tests."""

from ensemble_portraits.ensemble.recipes.build import Options
from ensemble_portraits.ensemble.recipes.compiler import Compiled, compile_recipe
from ensemble_portraits.ensemble.recipes.reading import read_recipe

SEEDED = Options(seed=7, skip_missing=True)


def compiled(text: str, machine, options: Options = SEEDED) -> Compiled:
    return compile_recipe(read_recipe(text).require(), machine, options)


def inputs(graph: dict, key: str) -> dict:
    return graph[key]["inputs"]


def classes(graph: dict) -> list[str]:
    return [node["class_type"] for node in graph.values()]
