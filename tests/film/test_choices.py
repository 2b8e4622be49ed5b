"""The colour wheels and the widgets' neutral position."""

import pytest
from ensemble_portraits.ensemble.film.choices import grade_from_widgets, wheel_offset

NEUTRAL = {
    "look": "none",
    "look_strength": 1.0,
    "lut_path": None,
    "lut_strength": 1.0,
    "exposure": 0.0,
    "temperature": 0.0,
    "tint": 0.0,
    "saturation": 1.0,
    "vibrance": 0.0,
    "contrast": 1.0,
    "pivot": 0.435,
    "lift": 0.0,
    "gamma": 1.0,
    "gain": 1.0,
    "lift_color": "#808080",
    "gamma_color": "#808080",
    "gain_color": "#808080",
}


def test_the_nodes_defaults_change_nothing():
    assert grade_from_widgets(**NEUTRAL).changes_nothing()


def test_any_grey_wheel_is_neutral():
    wheels = {"lift_color": "#000000", "gamma_color": "#ffffff", "gain_color": "#333333"}
    assert grade_from_widgets(**{**NEUTRAL, **wheels}).changes_nothing()


def test_a_wheel_pulls_towards_its_colour():
    wheels = {"lift": 0.1, "lift_color": "#ff8080", "gain_color": "#8080ff"}
    grade = grade_from_widgets(**{**NEUTRAL, **wheels})
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
