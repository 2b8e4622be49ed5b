"""The contact sheet of a run: scenes down, people and seeds across, filled while it runs."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .job import BadLine, Job
from .results import Results

HTML, PNG = "contact.html", "contact.png"
_SIDE = 224  # pixels of a picture on the sheet
_TEXT = 18  # pixels of a caption's line
_REFRESH = 15  # seconds
_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 24px; background: #fff; color: #222 }
table { border-collapse: collapse } th, td { padding: 4px; text-align: left; vertical-align: top }
img { display: block; width: 224px; height: auto } td.open { width: 224px; color: #888 }
td.failed { width: 224px; color: #a00 } small { color: #666 }
"""


@dataclass(frozen=True)
class Place:
    """One cell: `error` where its line is no job."""

    key: str
    row: str
    column: str
    error: str = ""


def places_of(jobs: Sequence[Job | BadLine]) -> list[Place]:
    """Jobs of a sheet at their scene and person; others in rows of their own, as they come."""
    found = []
    for number, job in enumerate(jobs):
        cell = None if isinstance(job, BadLine) else job.cell
        if cell is not None:
            column = cell.person if cell.seed is None else f"{cell.person}, seed {cell.seed}"
            found.append(Place(job.key, cell.scene, column))
        else:
            error = job.error if isinstance(job, BadLine) else ""
            row = job.name or f"line {job.line}"
            found.append(Place(job.key, row if error else f"{number // 8 + 1}",
                               "" if error else f"{number % 8 + 1}", error))  # fmt: skip
    return found


def write_html(
    places: Sequence[Place], results: Results, failed: dict[str, str], *, running: bool
) -> Path:
    """`failed`: key -> error. Pictures are linked, not copied: the page lies beside them."""
    rows, columns = _axes(places)
    cells = {(place.row, place.column): place for place in places}
    head = f'<meta http-equiv="refresh" content="{_REFRESH}">' if running else ""
    lines = [
        f'<!doctype html><meta charset="utf-8">{head}<title>Contact sheet</title>',
        f"<style>{_STYLE}</style><table><tr><th></th>",
        *(f"<th>{html.escape(column)}</th>" for column in columns),
    ]
    for row in rows:
        lines.append(f"</tr><tr><th>{html.escape(row)}</th>")
        lines += [_cell(cells.get((row, column)), results, failed) for column in columns]
    path = results.out / HTML
    part = path.with_name(path.name + ".part")
    part.write_text("\n".join([*lines, "</tr></table>\n"]), encoding="utf-8")
    part.replace(path)
    return path


def _cell(place: Place | None, results: Results, failed: dict[str, str]) -> str:
    if place is None:
        return "<td></td>"
    record = results.record(place.key)
    if record is not None:
        pictures = "".join(
            f'<a href="{quote(name)}"><img src="{quote(name)}" loading="lazy" alt=""></a>'
            for name in record["files"]
        )
        lines = "<br>".join(map(html.escape, [_caption(record), *_scores(record)]))
        return f"<td>{pictures}<small>{lines}</small></td>"
    error = place.error or failed.get(place.key, "")
    if error:
        return f'<td class="failed">{html.escape(error)}</td>'
    return '<td class="open">waiting</td>'


def _caption(record: dict[str, Any]) -> str:
    report = record.get("report")
    seed = report.get("seed") if isinstance(report, dict) else None
    parts = [f"seed {seed}" if seed is not None else "", f"{record.get('seconds', 0)} s"]
    return ", ".join(filter(None, parts))


def _scores(record: dict[str, Any]) -> list[str]:
    """What the leak meter said of the pictures."""
    report = record.get("report")
    return report.get("leak", []) if isinstance(report, dict) else []


def _axes(places: Sequence[Place]) -> tuple[list[str], list[str]]:
    """Rows and columns in the order in which they first come."""
    return (
        list(dict.fromkeys(place.row for place in places)),
        list(dict.fromkeys(place.column for place in places)),
    )


def write_png(places: Sequence[Place], results: Results) -> Path | None:
    """The same as one picture; None without Pillow. A sheet of more than 400 cells is too large for
    one: it has its page."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        return None
    rows, columns = _axes(places)
    if len(rows) * len(columns) > 400:
        return None
    small = {place: found for place in places if (found := _small(place, results))}
    wide = max((picture.width for picture, _ in small.values()), default=_SIDE)
    high = _SIDE + _TEXT
    sheet = Image.new("RGB", (_SIDE + wide * len(columns), high * len(rows) + _TEXT), "white")
    draw = ImageDraw.Draw(sheet)
    for number, column in enumerate(columns):
        draw.text((_SIDE + number * wide + 4, 2), column, fill="black")
    for number, row in enumerate(rows):
        draw.text((4, number * high + _TEXT + 4), row, fill="black")
    for place, (picture, score) in small.items():
        x = _SIDE + columns.index(place.column) * wide
        y = rows.index(place.row) * high + _TEXT
        sheet.paste(picture, (x, y))
        draw.text((x + 4, y + _SIDE + 2), score[: wide // 6], fill="black")
    path = results.out / PNG
    sheet.save(path)
    return path


def _small(place: Place, results: Results) -> tuple[Any, str] | None:
    """A job's first picture in small, and what the leak meter said of it; None where there is none, or
    one that Pillow does not know, as a video."""
    from PIL import Image

    record = results.record(place.key)
    if record is None or not record["files"]:
        return None
    try:
        with Image.open(results.out / record["files"][0]) as picture:
            small = picture.convert("RGB")
    except OSError:
        return None
    scale = min(_SIDE / small.width, _SIDE / small.height)
    small = small.resize((math.ceil(small.width * scale), math.ceil(small.height * scale)))
    return small, next(iter(_scores(record)), "").partition(": ")[2]
