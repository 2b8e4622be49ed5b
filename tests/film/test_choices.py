"""The colour wheels and the widgets' neutral position."""

import pytest
from ensemble_portraits.ensemble.film.choices import grade_from_widgets, wheel_offset

NEUTRAL = {
    "look": "none",
    "look_strength": 1.0,
    "lut_path": None,
    "lut_strength": 1.0,
    "light": (0.0, 0.0, 0.0, 1.0, 0.0),
    "tone": (1.0, 0.435),
    "wheels": ((0.0, "#808080"), (1.0, "#808080"), (1.0, "#808080")),
}


def test_the_nodes_defaults_change_nothing():
    assert grade_from_widgets(**NEUTRAL).changes_nothing()


def test_any_grey_wheel_is_neutral():
    wheels = ((0.0, "#000000"), (1.0, "#ffffff"), (1.0, "#333333"))
    assert grade_from_widgets(**{**NEUTRAL, "wheels": wheels}).changes_nothing()


def test_a_wheel_pulls_towards_its_colour():
    wheels = ((0.1, "#ff8080"), (1.0, "#808080"), (1.0, "#8080ff"))
    grade = grade_from_widgets(**{**NEUTRAL, "wheels": wheels})
    assert grade.lift[0] > 0.1 > grade.lift[1] == grade.lift[2]
    assert grade.gain[2] > 1 > grade.gain[0] == grade.gain[1]
    assert sum(grade.lift) == pytest.approx(0.3) and sum(grade.gain) == pytest.approx(3)
    assert grade.gamma == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("text", ["#12345", "red", "#zzzzzz"])
def test_a_bad_colour_is_named(text):
    with pytest.raises(ValueError, match=text):
        wheel_offset(text)


def test_a_table_is_loaded(tmp_path):
    path = tmp_path / "a.cube"
    path.write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 0.5\n")
    grade = grade_from_widgets(**{**NEUTRAL, "lut_path": str(path)})
    assert grade.cube and grade.cube.table[1, 2] == 0.5
