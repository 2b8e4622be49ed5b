""".cube look-up tables: the format of the Adobe Cube LUT Specification 1.0 (2013), read and
applied.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

Triple = tuple[float, float, float]

MAX_SIZE = {1: 65536, 3: 256}  # the specification's limits
_MAX_LINE = 1024  # the specification says 250 bytes; TITLEs in the wild are longer
_MAX_IDLE_LINES = 10_000  # comments, blank lines and keywords


class CubeError(ValueError):
    """A .cube file that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Cube:
    # float32, `[size, 3]` (three curves) or `[size, size, size, 3]` (blue, green, red index).
    table: torch.Tensor
    # What the table spans per channel; a colour outside takes the nearest edge.
    low: Triple = (0.0, 0.0, 0.0)
    high: Triple = (1.0, 1.0, 1.0)

    @property
    def dimensions(self) -> int:
        return self.table.dim() - 1


class _Reader:
    """Collects a file's keywords and rows, and knows the line it is on for every complaint."""

    def __init__(self, name: str):
        self.name = name
        self.line = 0
        self.dimensions = self.size = 0
        self.low: Triple = (0.0, 0.0, 0.0)
        self.high: Triple = (1.0, 1.0, 1.0)
        self.domain_line = 0
        self.rows: list[Triple] = []
        self.idle = 0

    def fail(self, what: str, line: int | None = None) -> CubeError:
        return CubeError(f"{self.name}, line {line or self.line}: {what}")

    def numbers(self, words: list[str], count: int) -> tuple[float, ...]:
        if len(words) != count:
            raise self.fail(f"{count} numbers expected, {len(words)} found.")
        try:
            values = tuple(float(word) for word in words)
        except ValueError:
            raise self.fail(f"{' '.join(words)[:80]!r} is not {count} numbers.") from None
        if not all(math.isfinite(value) for value in values):
            raise self.fail(f"{' '.join(words)[:80]!r} holds a number that is not finite.")
        return values

    def triple(self, words: list[str]) -> Triple:
        red, green, blue = self.numbers(words, 3)
        return red, green, blue

    def keyword(self, word: str, rest: list[str]) -> None:
        if self.rows:
            raise self.fail(f"{word[:40]} after the first row of the table.")
        if word in ("LUT_1D_SIZE", "LUT_3D_SIZE"):
            if self.dimensions:
                raise self.fail("a second table size; files with a 1D and a 3D table are not read.")
            dimensions = int(word[4])
            if len(rest) != 1 or not rest[0].isdecimal():
                raise self.fail(f"{word} needs one whole number.")
            size = int(rest[0][:9])
            if not 2 <= size <= MAX_SIZE[dimensions]:
                raise self.fail(f"{word} {size} is outside 2..{MAX_SIZE[dimensions]}.")
            self.dimensions, self.size = dimensions, size
        elif word == "DOMAIN_MIN":
            self.low, self.domain_line = self.triple(rest), self.line
        elif word == "DOMAIN_MAX":
            self.high, self.domain_line = self.triple(rest), self.line
        elif word in ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE"):  # DaVinci Resolve's spelling
            low, high = self.numbers(rest, 2)
            self.low, self.high = (low, low, low), (high, high, high)
            self.domain_line = self.line
        elif word != "TITLE":
            raise self.fail(f"unknown keyword {word[:40]!r}.")

    def feed(self, text: str) -> None:
        self.line += 1
        if len(text) > _MAX_LINE:
            raise self.fail(f"longer than {_MAX_LINE} characters; this is no .cube file.")
        words = text.split()
        if words and (words[0][0].isdigit() or words[0][0] in "+-."):
            self.row(words)
            return
        self.idle += 1
        if self.idle > _MAX_IDLE_LINES:
            raise self.fail(f"more than {_MAX_IDLE_LINES} lines without a row of the table.")
        if not words or words[0].startswith("#"):
            return
        if words[0].lower().strip("+-") in ("nan", "inf", "infinity"):
            self.row(words)
        self.keyword(words[0], words[1:])

    def row(self, words: list[str]) -> None:
        if not self.size:
            raise self.fail("a row before LUT_1D_SIZE or LUT_3D_SIZE.")
        if len(self.rows) == self.size**self.dimensions:
            raise self.fail(f"more rows than the {len(self.rows)} that the table's size calls for.")
        self.rows.append(self.triple(words))

    def finish(self) -> Cube:
        if not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise self.fail(f"the domain runs from {self.low} to {self.high}.", self.domain_line)
        if not self.size:
            raise self.fail("the file ends without LUT_1D_SIZE or LUT_3D_SIZE.")
        expected = self.size**self.dimensions
        if len(self.rows) != expected:
            raise self.fail(f"the file ends after {len(self.rows)} rows of {expected}.")
        table = torch.tensor(self.rows, dtype=torch.float32)
        return Cube(table.reshape(*[self.size] * self.dimensions, 3), self.low, self.high)


def read_cube(path: Path) -> Cube:
    """Read a .cube file. CubeError names the line of the first thing that is wrong."""
    reader = _Reader(path.name)
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        # readline with a limit: a file without line ends must not be read whole.
        while text := file.readline(_MAX_LINE + 2):
            reader.feed(text.rstrip("\r\n"))
    return reader.finish()


@lru_cache(maxsize=4)
def _cached(path: Path, mtime_ns: int, size: int) -> Cube:
    return read_cube(path)


def load_cube(path: Path) -> Cube:
    """`read_cube`, remembering the last four files for as long as they do not change."""
    stat = path.stat()
    return _cached(path, stat.st_mtime_ns, stat.st_size)


def _position(colour: torch.Tensor, cube: Cube) -> tuple[torch.Tensor, torch.Tensor]:
    """The table cell of each channel (int64) and the place inside it, 0..1; `[3, N]` both."""
    last = cube.table.shape[0] - 1
    low = colour.new_tensor(cube.low).unsqueeze(1)
    scale = last / (colour.new_tensor(cube.high).unsqueeze(1) - low)
    # A NaN cannot index a table; it goes through as 0 and is put back by the caller.
    place = ((colour - low) * scale).nan_to_num_(nan=0.0).clamp_(0.0, last)
    cell = place.floor().clamp_(max=last - 1)
    return cell.to(torch.int64), place.sub_(cell)


def apply_cube(colour: torch.Tensor, cube: Cube) -> torch.Tensor:
    """Look up `colour` `[3, N]`: linear between a curve's points, tetrahedral in a 3D table.

    Tetrahedral (Kasson et al. 1993): walk from the cell's low corner to its high corner along the
    axes in order of their fractions, so grey stays grey wherever the table keeps it.
    """
    cell, fraction = _position(colour, cube)
    table = cube.table.to(colour.device)
    if cube.dimensions == 1:
        channel = torch.arange(3, device=colour.device).unsqueeze(1)
        below, above = table[cell, channel], table[cell + 1, channel]
        result = below + fraction * (above - below)
    else:
        size = table.shape[0]
        flat = table.reshape(-1, 3)
        stride = torch.tensor((1, size, size * size), device=colour.device)
        corner = (cell * stride.unsqueeze(1)).sum(0)
        (most, first), (least, last) = fraction.max(0), fraction.min(0)
        # With two equal fractions max and min may name one axis; the corner between then has weight
        # 0.
        middle = fraction.sum(0) - most - least
        vertices = (corner, corner + stride[first], corner + stride.sum() - stride[last])
        weights = (1.0 - most, most - middle, middle - least)
        result = flat[corner + stride.sum()] * least.unsqueeze(1)
        for vertex, weight in zip(vertices, weights, strict=True):
            result += flat[vertex] * weight.unsqueeze(1)
        result = result.T
    return torch.where(colour.isnan(), colour, result)
