"""What the taught model draws is what was asked for, read off the pictures; few seeds. The whole tables:
`python dev bench taught`, `python dev bench identity`."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SEEDS, STEPS = range(4), 14


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def taught():
    sys.path.append(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("taught", BENCHMARKS / "taught.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(taught):
    """The table's rows of the same scenes: with the ControlNet at full strength, and without it."""
    scenes, sampler = taught.scenes(len(SEEDS)), taught.Sampler(STEPS, 4.0)
    return [
        taught.row(
            "", [sampler.paint(scene, seed, strength) for seed, scene in enumerate(scenes)], scenes
        )
        for strength in (1.0, 0.0)
    ]


def test_hair_and_clothes_have_the_colours_of_the_words(rows):
    assert rows[0]["words"] >= 0.85


def test_parts_are_where_the_skeleton_is_and_without_it_elsewhere(rows):
    posed, free = (row["away_pixels"] for row in rows)
    assert posed < 12
    assert posed < 0.6 * free
