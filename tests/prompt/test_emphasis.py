import random

import pytest
from ensemble_portraits.ensemble.prompt.emphasis import (
    ROUND,
    SQUARE,
    Weights,
    a1111_to_comfy,
    check_comfy,
    escape_comfy,
    for_comfy,
    parse_a1111,
)
from ensemble_portraits.ensemble.prompt.errors import PromptError
from hypothesis import example, given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", [("", 1.0)]),
        ("a b", [("a b", 1.0)]),
        ("(a)", [("a", 1.1)]),
        ("((a))", [("a", 1.1**2)]),
        ("[a]", [("a", 1 / 1.1)]),
        ("a (b:1.3) c", [("a ", 1.0), ("b", 1.3), (" c", 1.0)]),
        ("(b: .5 )", [("b", 0.5)]),
        ("(b:-1)", [("b", -1.0)]),
        # Unlike ComfyUI, an explicit weight multiplies with what is around it.
        ("((a:2) b)", [("a", 2.2), (" b", 1.1)]),
        ("([a])", [("a", 1.0)]),
        (r"\(a\) \[b\] \\ \c", [(r"(a) [b] \ c", 1.0)]),
        # Unbalanced: never closed counts to the end, never opened is text.
        ("a (b", [("a ", 1.0), ("b", 1.1)]),
        ("a [b", [("a ", 1.0), ("b", 1 / 1.1)]),
        ("a) b] c:1.2) d", [("a) b] c:1.2) d", 1.0)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("[a:1.5]", [("a:1.5", 1 / 1.1)]),
        ("(a:b:1.2)", [("a:b", 1.2)]),
        # Round and square brackets close each their own, even across each other.
        ("(a [b) c]", [("a ", 1.1), ("b", 1.0), (" c", 1 / 1.1)]),
    ],
)
def test_a1111_weights(text, runs):
    found = parse_a1111(text)
    assert [piece for piece, _ in found] == [piece for piece, _ in runs]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in runs])


@given(st.integers(0, 20), st.integers(0, 20), st.floats(0.1, 3).map(lambda w: round(w, 2)))
def test_a1111_weights_follow_the_closed_formula(rounds, squares, explicit):
    text = f"{'(' * rounds}{'[' * squares}(x:{explicit}){']' * squares}{')' * rounds}"
    ((piece, weight),) = parse_a1111(text)
    assert piece == "x"
    assert weight == pytest.approx(explicit * ROUND**rounds * SQUARE**squares, rel=1e-12)


def test_brackets_beyond_what_a_float_holds_are_an_error():
    with pytest.raises(PromptError, match="infinite"):
        parse_a1111("(" * 8000 + "x")


def comfy_reads(text: str) -> list[tuple[str, float]]:
    """Weighted pieces as core's tokenizer makes them, runs of equal weight joined."""
    from comfy.sd1_clip import escape_important, token_weights, unescape_important

    runs: list[tuple[str, float]] = []
    for piece, weight in token_weights(escape_important(text), 1.0):
        piece = unescape_important(piece)
        if runs and runs[-1][1] == weight:
            runs[-1] = runs[-1][0] + piece, weight
        elif piece:
            runs.append((piece, weight))
    return runs or [("", 1.0)]


bracketed = st.lists(
    st.sampled_from(
        ["(", ")", "[", "]", ":1.3)", ":0.5)", "\\", "\\(", "\\)", "a", "b c", ":", ","]
    )
).map("".join)


@example("\\\\(a")
@given(bracketed)
def test_comfy_reads_the_converted_text_with_a1111s_weights(text):
    assert comfy_reads(a1111_to_comfy(text)) == parse_a1111(text)


@given(bracketed)
def test_escaped_text_carries_no_weight_and_keeps_its_words(text):
    plain = text.replace("\\(", "(").replace("\\)", ")")
    if "\\" in plain:  # a backslash of the text's own may meet a bracket; core cannot say that
        return
    assert comfy_reads(escape_comfy(text)) == [(plain, 1.0)]


def test_check_comfy_knows_what_core_dies_of():
    from comfy.sd1_clip import token_weights

    deep = "(" * 2000 + "x" + ")" * 2000
    with pytest.raises(RecursionError):
        token_weights(deep, 1.0)
    with pytest.raises(PromptError, match="nest deeper"):
        check_comfy(deep)
    for text in ("(x:nan)", "a (b (c: inf)) d"):
        with pytest.raises(PromptError, match="not a finite number"):
            check_comfy(text)


@pytest.mark.parametrize(
    "text", ["(x:1.2)", "(nan)", "x:nan", "(a:b)", r"\(a:nan\)", ")(", "(:nan)"]
)
def test_check_comfy_lets_the_rest_pass(text):
    check_comfy(text)


def test_the_three_readings():
    text = "(a) [b]"
    assert comfy_reads(for_comfy(text, Weights.COMFY)) == [("a", 1.1), (" [b]", 1.0)]
    assert comfy_reads(for_comfy(text, Weights.A1111)) == [("a", 1.1), (" ", 1.0), ("b", 1 / 1.1)]
    assert comfy_reads(for_comfy(text, Weights.OFF)) == [("(a) [b]", 1.0)]


@given(st.text())
def test_arbitrary_text_never_crashes_a_reading(text):
    for weights in Weights:
        try:
            for_comfy(text, weights)
        except PromptError as error:
            assert 0 <= error.offset <= len(text)


def test_long_nesting_is_read_exactly():
    rng = random.Random(1)
    text = "".join(rng.choice("([)]ab") for _ in range(20_000))
    assert "".join(piece for piece, _ in parse_a1111(text)).count("a") == text.count("a")
