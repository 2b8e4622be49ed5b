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


def benchmark(name: str):
    """A benchmark's module; its name may be a package's."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def taught():
    return benchmark("taught")


@pytest.fixture(scope="module")
def pair():
    """Two people side by side in each one's pose, by every method: the painter of the benchmark."""
    identity, scenes = benchmark("identity"), benchmark("identity_scenes")
    methods = benchmark("identity_methods")
    args = identity.options().parse_args(["--people", "2", "--steps", str(STEPS)])
    assert identity.with_dolls(args) == ""
    return methods.Painter(identity.load_kit(args, True), scenes.stage(2, "apart", 192, 0))


def look(pair, method: str, seed: int):
    """`[2,2]`: how much each place shows of each person."""
    from dolls.world.reading import looks

    latent = getattr(pair, method)([1.0, 1.0], seed)
    picture = (pair.picture(latent)[0].clamp(0, 1) * 255).round().byte().numpy()
    return looks(picture, pair.stage.scene, range(2))


@pytest.mark.parametrize("seed", [0, 1])
def test_both_people_look_like_themselves_where_they_stand(pair, seed):
    own, other = both(look(pair, "fused", seed))
    assert own.min() > 2 * other.max()


@pytest.mark.parametrize("seed", [0, 1])
def test_merged_loras_make_no_such_difference(pair, seed):
    own, other = both(look(pair, "merged", seed))
    assert own.min() < 2 * other.max()


def both(scores):
    """Of each place its own person's, and the other one's."""
    return scores.diagonal(), scores[:, ::-1].diagonal()


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
    assert rows[0]["words"] >= 0.9


def test_parts_are_where_the_skeleton_is_and_without_it_elsewhere(rows):
    posed, free = (row["away_pixels"] for row in rows)
    assert posed < 10
    assert posed < 0.5 * free
