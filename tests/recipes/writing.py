"""Recipe -> Astria's prompt text, to be read back."""

from ensemble_portraits.ensemble.recipes.astria import read_astria
from ensemble_portraits.ensemble.recipes.recipe import Recipe
from ensemble_portraits.ensemble.recipes.settings import ASTRIA_FLAGS, ASTRIA_SETTINGS, Setting


class NotWritableError(ValueError):
    """The recipe holds something that Astria's text has no words for."""


def write_astria(recipe: Recipe) -> str:
    """The text that reads back as `recipe`. Raises NotWritableError where there is none."""
    flags = [_written_flag(s, getattr(recipe, s.field)) for s in ASTRIA_FLAGS if s.field]
    lines = [" ".join([recipe.prompt, *filter(None, flags)])]
    written: set[str] = set()
    for setting in ASTRIA_SETTINGS:
        if setting.field and setting.field not in written:
            written.add(setting.field)
            lines.append(f"{setting.key}={_written(getattr(recipe, setting.field))}")
    text = "\n".join(lines) + "\n"
    if read_astria(text).recipe != recipe:
        raise NotWritableError("this recipe cannot be written as Astria's text")
    return text


def _written_flag(setting: Setting, value: object) -> str:
    if value is None or value == ():
        return ""
    if value is True:
        return f"--{setting.key}"
    return f"--{setting.key} {_written(value)}"


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(_written(item) for item in value)
    return str(value)
