"""The archive that users install: what comfy-cli would pack of this clone."""

import subprocess
import zipfile
from pathlib import Path

from pathspec import PathSpec

from dev.cache import ROOT


def archive_files() -> list[str]:
    """Files under version control that .comfyignore leaves, read as comfy-cli 1.23 reads it."""
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    patterns = [
        line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")
    ]
    left_out = PathSpec.from_lines("gitwildmatch", patterns)
    asked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [name for name in asked.stdout.splitlines() if (ROOT / name).is_file()]
    return sorted(name for name in files if not left_out.match_file(name))


def unpack_archive(folder: Path) -> Path:
    """The archive, packed and unpacked again under `folder`, as an installer leaves it."""
    packed = folder / "node.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in archive_files():
            archive.write(ROOT / name, name)
    pack = folder / "unpacked"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(pack)
    return pack
