"""The settings tables of docs/recipes.md, as they follow from the table that the parsers read."""

from collections.abc import Iterable
from typing import Any

HEAD = (
    "| setting | works | node and input | default | range at the service | what runs at all | since |\n"
    "|---|---|---|---|---|---|---|"
)


def table(settings: Iterable[Any], flags: bool = False) -> str:
    """One row per setting."""
    rows = [HEAD]
    for setting in settings:
        key = f"`--{setting.key}`" if flags else f"`{setting.key}`"
        service = _range(setting.low, setting.high)
        if setting.multiple > 1:
            service = ", ".join(filter(None, (service, f"multiple of {setting.multiple}")))
        runs = _range(setting.least, setting.most)
        works = setting.fidelity.value
        how = f"{setting.acts} | {setting.default} | {service} | {runs}"
        rows.append(f"| {key} | {works} | {how} | {setting.since} |")
    return "\n".join(rows)


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.12g} to {high:.12g}"
