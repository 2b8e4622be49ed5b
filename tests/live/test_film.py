"""The finishing nodes through POST /prompt, against the same functions called here."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.film.grade import Grade, colour_grade
from ensemble_portraits.ensemble.film.grain import GrainSettings, film_grain
from ensemble_portraits.ensemble.film.looks import LOOKS
from ensemble_portraits.ensemble.film.paste import paste_back
from ensemble_portraits.ensemble.film.stocks import STOCKS
from PIL import Image

GRADE = {
    "look": "none",
    "exposure": 0.0,
    "contrast": 1.0,
    "temperature": 0.0,
    "tint": 0.0,
    "saturation": 1.0,
    "vibrance": 0.0,
    "lift": 0.0,
    "gamma": 1.0,
    "gain": 1.0,
    "lut": "none",
    "look_strength": 1.0,
    "lut_strength": 1.0,
    "pivot": 0.435,
    "lift_color": "#808080",
    "gamma_color": "#808080",
    "gain_color": "#808080",
}
GRAIN = {"strength": 1.0, "size": 2.0, "chroma": 1.0, "seed": 2**64 - 1, "frame_offset": 3}


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut()).resize((256, 256), Image.Resampling.LANCZOS)


@pytest.fixture(scope="module")
def name(server, photo) -> str:
    return server.upload(photo, "film.png")


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image.convert("RGB")) / np.float32(255)).unsqueeze(0)


def bytes_of(image: torch.Tensor) -> np.ndarray:
    """As SaveImage writes them."""
    return np.clip(255.0 * image[0].numpy(), 0, 255).astype(np.uint8)


def finish(server, name: str, **nodes: dict) -> np.ndarray:
    graph = {"load": {"class_type": "LoadImage", "inputs": {"image": name}}, **nodes}
    graph["save"] = {
        "class_type": "SaveImage",
        "inputs": {"images": [list(nodes)[-1], 0], "filename_prefix": "live/film"},
    }
    result = server.run(graph)
    assert result.status == "success", result.error
    return np.asarray(result.images[-1].convert("RGB"))


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def test_grain(server, name, photo):
    got = finish(
        server, name, g=node("FilmGrain", image=["load", 0], stock="Super 8, 500T", **GRAIN)
    )
    settings = GrainSettings(stock=STOCKS["Super 8, 500T"], size=2.0, seed=2**64 - 1)
    assert np.array_equal(got, bytes_of(film_grain(tensor(photo), settings, 3)))
    assert not np.array_equal(got, np.asarray(photo))


def test_grain_is_shown_at_its_own_size(server):
    grey = Image.new("RGB", (700, 400), (128, 128, 128))
    graph = {
        "load": node("LoadImage", image=server.upload(grey, "grey.png")),
        "g": node("FilmGrain", image=["load", 0], stock="Super 8, 500T", **GRAIN),
        "save": node("SaveImage", images=["g", 0], filename_prefix="live/grain"),
    }
    result = server.run(graph)
    files = {each.node: each.data for each in server.client.pictures(result.run)}
    shown, saved = (np.asarray(Image.open(BytesIO(files[key]))) for key in ("g", "save"))
    assert np.array_equal(shown, saved[40:360, 190:510])


@pytest.fixture
def tables(server) -> Iterator[None]:
    """Two tables in models/luts, taken away again: the models folder outlives the server."""
    folder = server.base / "models" / "luts"
    folder.mkdir(exist_ok=True)
    files = {"half_blue.cube": "0 0 0\n1 1 .5\n", "broken.cube": "0 0 0\n1 nan 1\n"}
    for file, rows in files.items():
        (folder / file).write_text("LUT_1D_SIZE 2\n" + rows)
    yield
    for file in files:
        (folder / file).unlink()


@pytest.mark.usefixtures("tables")
def test_look_and_table(server, name, photo):
    inputs = {**GRADE, "look": "Film Portra", "lut": "half_blue.cube", "exposure": 0.5}
    got = finish(server, name, g=node("EnsembleColorGrade", image=["load", 0], **inputs))
    expected = colour_grade(tensor(photo), Grade(exposure=0.5, look=LOOKS["Film Portra"]))
    expected = expected * torch.tensor([1.0, 1.0, 0.5])
    assert np.abs(got.astype(int) - bytes_of(expected)).max() <= 1


@pytest.mark.usefixtures("tables")
def test_an_edited_table_is_applied_though_the_graph_is_the_same(server, name):
    inputs = {**GRADE, "lut": "half_blue.cube"}
    graph = {
        "load": node("LoadImage", image=name),
        "g": node("EnsembleColorGrade", image=["load", 0], **inputs),
        "save": node("SaveImage", images=["g", 0], filename_prefix="live/film"),
    }
    first = server.run(graph)
    assert server.run(graph).executed == []
    file = server.base / "models" / "luts" / "half_blue.cube"
    file.write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 .25\n")
    second = server.run(graph)
    assert "g" in second.executed
    blue = [np.asarray(r.images[-1].convert("RGB"))[..., 2].mean() for r in (first, second)]
    assert blue[1] == pytest.approx(blue[0] / 2, rel=0.05)


@pytest.mark.usefixtures("tables")
def test_a_broken_table_fails_with_its_line(server, name):
    graph = {
        "load": node("LoadImage", image=name),
        "g": node("EnsembleColorGrade", image=["load", 0], **{**GRADE, "lut": "broken.cube"}),
        "save": node("PreviewImage", images=["g", 0]),
    }
    result = server.run(graph)
    assert result.status == "error"
    assert "broken.cube, line 3" in result.error


def test_a_table_outside_the_folder_is_refused(server, name):
    graph = {
        "load": node("LoadImage", image=name),
        "g": node("EnsembleColorGrade", image=["load", 0], **{**GRADE, "lut": "../../x.cube"}),
        "save": node("PreviewImage", images=["g", 0]),
    }
    status, answer = server.post(graph)
    assert status == 400 and "value_not_in_list" in str(answer)


def test_paste_back(server, name, photo):
    mask = node("SolidMask", value=1.0, width=96, height=96)
    base = node("SolidMask", value=0.0, width=256, height=256)
    both = node("MaskComposite", destination=["b", 0], source=["m", 0], x=80, y=64, operation="add")
    dark = node("ImageInvert", image=["load", 0])
    paste = node(
        "EnsemblePasteBack",
        image=["i", 0],
        original=["load", 0],
        mask=["c", 0],
        feather=10,
        match_colour=0.0,
    )
    got = finish(server, name, m=mask, b=base, c=both, i=dark, p=paste)
    expected_mask = torch.zeros(1, 256, 256)
    expected_mask[:, 64:160, 80:176] = 1
    expected = paste_back(
        1 - tensor(photo), tensor(photo), expected_mask, feather=10, match_colour=0.0
    )
    assert np.abs(got.astype(int) - bytes_of(expected)).max() <= 1
    assert np.array_equal(got[:50], np.asarray(photo)[:50])
