import pytest
from ensemble_portraits.ensemble.prompt.cast import cast_of
from ensemble_portraits.ensemble.recipes.cast import with_cast
from ensemble_portraits.ensemble.recipes.problems import RecipeError
from ensemble_portraits.ensemble.recipes.reading import read_recipe

CAST = cast_of({"people": {"ann": {"words": "a woman", "lora": "ann", "negative": "glasses"}}})


@pytest.mark.parametrize(
    "text",
    [
        "a park BREAK BREAK @ann smiling --mask_prompt foreground",
        '{"prompt": "a park BREAK BREAK @ann smiling", "model_id": "sd"}',
    ],
)
def test_both_kinds_of_recipe(text):
    recipe, people = with_cast(read_recipe(text).require(), CAST)
    assert recipe.prompt.endswith("BREAK a woman <lora:ann:1> smiling")
    assert recipe.negative.endswith("glasses")
    assert people == ("ann",)


def test_nobody_is_a_problem_with_its_place():
    with pytest.raises(RecipeError, match="@bob is nobody in the cast") as error:
        with_cast(read_recipe("a park BREAK BREAK @bob").require(), CAST)
    assert error.value.problems[0].column == 20
