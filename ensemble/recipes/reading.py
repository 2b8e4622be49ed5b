"""A pasted text of either service -> a Recipe."""

from .astria import read_astria
from .json_body import read_json
from .problems import Reading


def read_recipe(text: str, *, strict: bool = False) -> Reading:
    """Read a JSON body (it starts with `{`) or Astria's text.

    `strict` binds to the service's ranges.
    """
    read = read_json if text.lstrip("\ufeff \t\r\n").startswith("{") else read_astria
    return read(text, strict=strict)
