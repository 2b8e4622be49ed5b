"""The rectangle: units that do not mix, and the one rule by which edges become pixels."""

from itertools import pairwise

import pytest
import torch
from ensemble_portraits.ensemble.regions.rect import WHOLE, Rect, Unit
from hypothesis import given
from hypothesis import strategies as st

HALF = Rect.fractions(0.0, 0.25, 0.5, 0.75)


def test_the_same_part_of_canvases_of_any_size():
    assert HALF.slices(width=8, height=4) == (slice(1, 3), slice(0, 4))
    assert HALF.rounded(width=100, height=40) == Rect.pixels(0, 10, 50, 30)
    pixels = HALF.as_pixels(width=100, height=40)
    assert pixels == Rect.pixels(0.0, 10.0, 50.0, 30.0)
    assert pixels.as_fractions(width=100, height=40) == HALF
    assert Rect.sized(1, 2, 3, 4, Unit.PIXELS) == Rect.pixels(1, 2, 4, 6)


def test_a_cut_is_a_view():
    field = torch.zeros(2, 4, 8)
    HALF.cut(field).fill_(1.0)
    assert field.sum() == 2 * 2 * 4 and field[0, 1, 3] == 1 and field[0, 0, 0] == 0
    assert WHOLE.cut(field).data_ptr() == field.data_ptr()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 50))
def test_neighbours_share_their_edges_and_nothing_is_lost(edges, width):
    """Strips side by side cover every column, and overlap only where they were kept at a pixel."""
    edges = [0.0, *sorted(edges), 1.0]
    parts = [
        Rect.fractions(a, 0, b, 1).slices(width=width, height=1)[1] for a, b in pairwise(edges)
    ]
    assert {x for part in parts for x in range(part.start, part.stop)} == set(range(width))
    for before, after, edge in zip(parts, parts[1:], edges[1:], strict=False):
        assert after.start == min(int(edge * width + 0.5), width - 1)
        assert before.stop in (after.start, after.start + 1)


@given(*[st.floats(-2, 3) for _ in range(4)])
def test_whatever_it_covers_there_is_a_pixel_inside_the_picture(left, top, right, bottom):
    rows, columns = Rect.fractions(left, top, right, bottom).slices(width=7, height=5)
    assert 0 <= rows.start < rows.stop <= 5 and 0 <= columns.start < columns.stop <= 7


def test_halves_go_to_the_right():
    """0.5, 1.5 and 2.5 to 1, 2 and 3: never the even neighbour, as Python's round has it."""
    edges = [Rect.pixels(0, 0, x, 1).slices(width=9, height=1)[1].stop for x in (0.5, 1.5, 2.5)]
    assert edges == [1, 2, 3]


def test_measures():
    face = Rect.pixels(10, 20, 40, 60)
    assert (face.width, face.height, face.side, face.area) == (30, 40, 40, 1200)
    assert face.centre == (25, 40)
    assert face.moved(5, -5) == Rect.pixels(15, 15, 45, 55)
    assert face.scaled(0.5, 2) == Rect.pixels(5, 40, 20, 120)
    assert face.clipped(width=30, height=100) == Rect.pixels(10, 20, 30, 60)
    assert face.moved(100, 0).clipped(width=30, height=100).area == 0
    assert face.shared_area(Rect.pixels(30, 0, 99, 30)) == 100
    assert face.shared_area(Rect.pixels(40, 0, 99, 99)) == 0


def test_units_do_not_mix():
    with pytest.raises(ValueError, match="is in fractions of the canvas where pixels are needed"):
        HALF.clipped(width=4, height=4)
    with pytest.raises(ValueError, match="where fractions of the canvas are needed"):
        HALF.shared_area(Rect.pixels(0, 0, 1, 1))
