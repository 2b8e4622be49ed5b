"""JSON Lines, CSV and folders -> rows, each with its place in the source."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BESIDE_SET = ("graph", "name", "seed")
LONGEST_FIELD = 10_000_000
"""Characters of one field of a CSV: a graph fits."""


class SourceError(ValueError):
    """The source as a whole cannot be read."""


@dataclass(frozen=True)
class Row:
    """A line as it stands: `value` is its JSON, `error` why there is none. `cell` is its place on a
    contact sheet (sheet.py)."""

    line: int
    value: Any
    name: str = ""
    error: str = ""
    cell: Any = None


def read_rows(source: str, standard_input: Iterable[bytes] = ()) -> Iterator[Row]:
    """The rows of a file, a folder, or `-`. Raises SourceError, before the first row where it can."""
    if source == "-":
        return _json_rows(b"".join(standard_input))
    path = Path(source)
    if path.is_dir():
        return _folder_rows(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    return _csv_rows(data, path) if path.suffix.lower() in (".csv", ".tsv") else _json_rows(data)


def _json_rows(data: bytes) -> Iterator[Row]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(f"line {line} is not UTF-8; save the file as UTF-8") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield Row(number, json.loads(line))
        except (ValueError, RecursionError) as error:
            yield Row(number, line[:1000], error=f"is not JSON: {error}")


def _folder_rows(folder: Path) -> Iterator[Row]:
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".json", ".txt"))
    if not paths:
        raise SourceError(f"{folder} has no .json and no .txt file")
    for number, path in enumerate(paths, 1):
        try:
            text = path.read_text(encoding="utf-8-sig")
            value = json.loads(text) if path.suffix.lower() == ".json" else text
        except (OSError, ValueError) as error:
            yield Row(number, path.name, path.stem, f"{path.name} cannot be read: {error}")
        else:
            yield Row(number, value, path.stem)


def _csv_rows(data: bytes, path: Path) -> Iterator[Row]:
    """Rows by the line that they begin on; a quoted field may have line breaks."""
    before = csv.field_size_limit(LONGEST_FIELD)  # of the whole process: others rely on theirs
    try:
        yield from _csv_rows_of(data, path)
    finally:
        csv.field_size_limit(before)


def _csv_rows_of(data: bytes, path: Path) -> Iterator[Row]:
    text = _decoded(data)
    first = text.split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise SourceError(f"{path}, line 1: {error}") from error
    if not any(header) or len(set(header)) < len(header):
        raise SourceError(f"{path}: its first line must name the columns, each once")
    line = reader.line_num + 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Where one field ends is unknown, and so is where the next row begins.
            raise SourceError(f"{path}, line {line}: {error}; nothing was taken in") from error
        if any(fields):
            yield _csv_row(line, header, fields)
        line = reader.line_num + 1


def _csv_row(line: int, header: list[str], fields: list[str]) -> Row:
    if len(fields) > len(header):
        return Row(line, fields, error=f"has {len(fields)} fields and the header {len(header)}")
    values = {name: each for name, each in zip(header, fields, strict=False) if each != ""}
    if "graph" in values:
        slots = {name: _literal(each) for name, each in values.items() if name not in _BESIDE_SET}
        kept = {name: values[name] for name in _BESIDE_SET if name in values}
        if "seed" in kept:
            kept["seed"] = _literal(kept["seed"])
        return Row(line, {**kept, "set": slots})
    if "text" in values:
        request = {
            k: each if k in ("text", "name") else _literal(each) for k, each in values.items()
        }
        return Row(line, request)
    return Row(line, values)


def _literal(text: str) -> Any:
    """A cell's number or switch; any other text is text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) or value is None else text


def _decoded(data: bytes) -> str:
    """UTF-8 or, as spreadsheets of Windows write it, Windows-1252."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
