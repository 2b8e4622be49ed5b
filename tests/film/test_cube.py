"""LUTs against colour-science, and what a broken file says."""

from pathlib import Path

import colour as reference
import numpy as np
import pytest
import torch
from colour.algebra import table_interpolation_tetrahedral
from ensemble_portraits.ensemble.film.cube import Cube, CubeError, apply_cube, load_cube, read_cube
from hypothesis import given, settings
from hypothesis import strategies as st


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def text_of(table: np.ndarray, low=None, high=None) -> str:
    """`[n,3]` or `[r,g,b,3]` as .cube text: red runs fastest."""
    head = f"LUT_{table.ndim - 1}D_SIZE {len(table)}\n"
    if low:
        head += f"DOMAIN_MIN {low[0]} {low[1]} {low[2]}\nDOMAIN_MAX {high[0]} {high[1]} {high[2]}\n"
    rows = table if table.ndim == 2 else table.transpose(2, 1, 0, 3).reshape(-1, 3)
    return (
        'TITLE "a test"\n# comment\n\n'
        + head
        + "\n".join(f"{r:.8f} {g:.8f} {b:.8f}" for r, g, b in rows)
    )


def colours(count=20000, low=-0.1, high=1.1, seed=3) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(low, high, (count, 3))
    values[:50] = np.random.default_rng(1).uniform(0, 1, (50, 1))  # greys: all fractions equal
    values[50:100, 0] = values[50:100, 1]
    values[100:150, 2] = values[100:150, 1]
    values[150:158] = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).T
    return values


def ours(path: Path, values: np.ndarray) -> np.ndarray:
    return apply_cube(torch.from_numpy(values.T.astype(np.float32)), read_cube(path)).numpy().T


DOMAINS = [(None, None), ((-0.5, 0.0, 0.25), (1.5, 2.0, 0.75))]


@pytest.mark.parametrize("size", [2, 5, 17, 33])
@pytest.mark.parametrize("domain", DOMAINS)
def test_3d_equals_tetrahedral_interpolation(tmp_path, size, domain):
    table = np.random.default_rng(size).uniform(0, 1, (size, size, size, 3)).round(8)
    path = write(tmp_path / "a.cube", text_of(table, *domain))
    values = colours(high=2.1, low=-0.6) if domain[0] else colours()
    # Both get the colours as float32 stores them; at 33 points a step of 2^-24 is 2e-6 of a cell.
    values = values.astype(np.float32).astype(np.float64)
    lut = reference.read_LUT(str(path))
    low, high = lut.domain
    expected = lut.apply(np.clip(values, low, high), interpolator=table_interpolation_tetrahedral)
    smooth = 1 if size <= 5 else 8  # noise tables jump by 1 from cell to cell, real ones do not
    assert np.abs(ours(path, values) - expected).max() < 1e-6 * smooth


@pytest.mark.parametrize("size", [17, 33, 65])
def test_a_smooth_3d_table_is_met_to_one_in_a_million(tmp_path, size):
    grid = np.linspace(0, 1, size)
    r, g, b = np.meshgrid(grid, grid, grid, indexing="ij")
    table = np.stack([r**0.8 * 0.9 + g * 0.1, g**1.3, (b + r * g) / 2], -1)
    path = write(tmp_path / "a.cube", text_of(table))
    values = colours(low=0, high=1).astype(np.float32).astype(np.float64)
    lut = reference.read_LUT(str(path))
    expected = lut.apply(values, interpolator=table_interpolation_tetrahedral)
    assert np.abs(ours(path, values) - expected).max() < 1e-6


@pytest.mark.parametrize("domain", DOMAINS)
def test_1d_equals_linear_interpolation(tmp_path, domain):
    table = np.random.default_rng(2).uniform(0, 1, (9, 3)).round(8)
    path = write(tmp_path / "a.cube", text_of(table, *domain))
    values = colours().astype(np.float32).astype(np.float64)
    low, high = domain if domain[0] else ((0,) * 3, (1,) * 3)
    expected = np.stack(
        [np.interp(values[:, i], np.linspace(low[i], high[i], 9), table[:, i]) for i in range(3)],
        -1,
    )
    assert np.abs(ours(path, values) - expected).max() < 1e-6


@pytest.mark.parametrize("size", [2, 7, 32])
def test_the_identity_table_is_the_identity(size):
    grid = torch.linspace(0, 1, size)
    b, g, r = torch.meshgrid(grid, grid, grid, indexing="ij")
    values = torch.from_numpy(colours(low=0, high=1).T.astype(np.float32))
    for table in (torch.stack([r, g, b], -1), grid.unsqueeze(1).expand(-1, 3)):
        assert (apply_cube(values, Cube(table)) - values).abs().max() < 5e-7


def test_nan_passes_and_harms_no_neighbour():
    grid = torch.linspace(0, 1, 3).unsqueeze(1).expand(-1, 3)
    out = apply_cube(
        torch.tensor([[0.5, float("nan")], [0.5, 0.5], [float("inf"), 0.1]]), Cube(grid)
    )
    assert out[0, 1].isnan() and out[2, 0] == 1.0
    assert out[1].tolist() == [0.5, 0.5]


ROWS = "0 0 0\n1 1 1\n"

BROKEN = {
    "too few rows": ("LUT_1D_SIZE 3\n" + ROWS, 3, "ends after 2 rows of 3"),
    "too many rows": ("LUT_1D_SIZE 2\n" + ROWS + "1 1 1\n", 4, "more rows than the 2"),
    "nan": ("LUT_1D_SIZE 2\n0 0 0\n1 nan 1\n", 3, "not finite"),
    "nan first": ("LUT_1D_SIZE 2\nnan 0 0\n1 1 1\n", 2, "not finite"),
    "infinite": ("LUT_1D_SIZE 2\n0 0 0\n1 1 1e999\n", 3, "not finite"),
    "a word in a row": ("LUT_1D_SIZE 2\n0 0 zero\n", 2, "not 3 numbers"),
    "two numbers": ("LUT_1D_SIZE 2\n0 0\n", 2, "3 numbers expected, 2 found"),
    "domain inverted": ("DOMAIN_MIN 0 1 0\nLUT_1D_SIZE 2\nDOMAIN_MAX 1 0 1\n" + ROWS, 3, "domain"),
    "domain empty": ("LUT_1D_INPUT_RANGE 1 1\nLUT_1D_SIZE 2\n" + ROWS, 1, "domain"),
    "no size": ("TITLE x\n" + ROWS, 2, "before LUT_1D_SIZE"),
    "empty file": ("", 0, "without LUT_1D_SIZE"),
    "size one": ("LUT_3D_SIZE 1\n0 0 0\n", 1, "outside 2..256"),
    "size huge": ("LUT_3D_SIZE 999999999999\n", 1, "outside 2..256"),
    "size not whole": ("LUT_1D_SIZE 2.5\n", 1, "one whole number"),
    "two tables": ("LUT_1D_SIZE 2\nLUT_3D_SIZE 2\n", 2, "second table size"),
    "unknown keyword": ("LUT_4D_SIZE 2\n", 1, "unknown keyword 'LUT_4D_SIZE'"),
    "keyword too late": ("LUT_1D_SIZE 2\n0 0 0\nTITLE x\n", 3, "after the first row"),
    "endless line": ("#" * 5_000_000, 1, "longer than 1024"),
    "endless comments": ("#\n" * 20_000, 10_001, "without a row"),
    "binary": ("\x00\x01PK\x03\x04", 1, "unknown keyword"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_names_its_line(tmp_path, name):
    text, line, complaint = BROKEN[name]
    with pytest.raises(CubeError, match=complaint) as error:
        read_cube(write(tmp_path / "bad.cube", text))
    if line:
        assert f"bad.cube, line {line}: " in str(error.value)


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = tmp_path / "a.cube"
    path.write_bytes(b"\xef\xbb\xbfLUT_1D_SIZE 2\r\n0 0 0\r\n1 .5 1e0\r\n")
    assert read_cube(path).table.tolist() == [[0, 0, 0], [1, 0.5, 1]]


def test_a_changed_file_is_read_again(tmp_path):
    path = write(tmp_path / "a.cube", "LUT_1D_SIZE 2\n0 0 0\n1 1 1\n")
    first = load_cube(path)
    assert load_cube(path) is first
    write(path, "LUT_1D_SIZE 2\n0 0 0\n0.25 1 1\n")
    assert load_cube(path).table[1, 0] == 0.25


@given(st.text(alphabet="LUT_13DSIZE \n0129.-+e#naif", max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_table_or_a_complaint(tmp_path_factory, text):
    path = write(tmp_path_factory.getbasetemp() / "any.cube", text)
    try:
        assert read_cube(path).table.isfinite().all()
    except CubeError as error:
        assert "any.cube, line" in str(error)
