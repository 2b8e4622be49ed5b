"""Pictures and records in the user's folder, written by the driver alone.

All as `.part` and synced, then renamed, the record last. A job is done when its record is there, so a
crash at any moment leaves it done or not, never half.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath
from typing import Any

RECORDS = "records"
LEDGER = "farm.sqlite3"
_PART = ".part"
_SYNC = ThreadPoolExecutor(16, "ensemble-sync")


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
        names = [
            f"{stem}_{number:02}{PurePosixPath(name).suffix.lower()}"
            for number, (name, _) in enumerate(files, 1)
        ]
        text = json.dumps({"key": key, "files": names, **record}, indent=1)
        pictures = [(self.out / name, data) for name, (_, data) in zip(names, files, strict=True)]
        write_all([*pictures, (self._records / f"{key}.json", text.encode())])
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


def write_all(files: Sequence[tuple[Path, bytes]]) -> None:
    """Each whole or not at all, the last of them last. Raises OSError."""
    parts = [path.with_name(path.name + _PART) for path, _ in files]
    try:
        # Side by side: a disk makes one write of several syncs.
        written = [
            _SYNC.submit(_write, part, data) for part, (_, data) in zip(parts, files, strict=True)
        ]
        wait(written)
        for each in written:
            each.result()
        for part, (path, _) in zip(parts, files, strict=True):
            part.replace(path)
    except OSError:
        for part in parts:
            part.unlink(missing_ok=True)
        raise


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
