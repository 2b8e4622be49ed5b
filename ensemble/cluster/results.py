"""Pictures and records in the user's folder, written by the driver alone.

Pictures first, each as `.part`, synced and renamed; the record last. A job is done when its record
is there, so a crash at any moment leaves it done or not, never half.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

RECORDS = "records"
LEDGER = "farm.sqlite3"
_PART = ".part"


class Results:
    """`out` has the pictures, `out/records` a JSON file for each finished job."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._records = out / RECORDS
        self._records.mkdir(parents=True, exist_ok=True)

    @property
    def ledger(self) -> Path:
        return self.out / LEDGER

    def publish(
        self, key: str, stem: str, files: Sequence[tuple[str, bytes]], record: dict[str, Any]
    ) -> list[str]:
        """`files` are (name as the worker had it, bytes). The names they have now. Raises OSError, and
        then the job counts as not done."""
        names = []
        for number, (name, data) in enumerate(files, 1):
            final = f"{stem}_{number:02}{PurePosixPath(name).suffix.lower()}"
            write(self.out / final, data)
            names.append(final)
        text = json.dumps({"key": key, "files": names, **record}, indent=1)
        write(self._records / f"{key}.json", text.encode())
        return names

    def done(self) -> set[str]:
        """Keys whose record is there with every picture it names. Also tidies up what a driver that
        died was writing."""
        for part in (*self.out.glob(f"*{_PART}"), *self._records.glob(f"*{_PART}")):
            part.unlink(missing_ok=True)
        return {path.stem for path in self._records.glob("*.json") if self._is_whole(path)}

    def record(self, key: str) -> dict[str, Any] | None:
        try:
            return json.loads((self._records / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return None

    def _is_whole(self, path: Path) -> bool:
        found = self.record(path.stem)
        return found is not None and all(
            (self.out / name).is_file() for name in found.get("files", ())
        )


def write(path: Path, data: bytes) -> None:
    """Whole or not at all. Raises OSError."""
    part = path.with_name(path.name + _PART)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
