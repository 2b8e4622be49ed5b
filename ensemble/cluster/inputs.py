"""Input pictures that jobs name: read where the driver is, sent along."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


class Pictures:
    """Those of one folder. A name that is not there is left to the worker's own input folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._digests: dict[Path, str] = {}

    def find(self, name: str) -> Path | None:
        """The file of a name or of a URL's last segment, inside the folder."""
        if name.startswith("data:"):
            return None
        if "://" in name:
            name = name.split("?", 1)[0].rsplit("/", 1)[-1]
        path = (self._folder / name).resolve()
        return path if path.is_relative_to(self._folder) and path.is_file() else None

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """sha256 of each that is here: part of a job's key, so that another picture is another job."""
        found = {}
        for name in names:
            path = self.find(name)
            if path is not None:
                if path not in self._digests:
                    self._digests[path] = hashlib.sha256(path.read_bytes()).hexdigest()
                found[name] = self._digests[path]
        return found

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """Name in the worker's input folder -> bytes."""
        found = {}
        for name in names:
            path = self.find(name)
            if path is not None:
                found[path.name if "://" in name else name] = path.read_bytes()
        return found
