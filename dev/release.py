"""Publishing: `python -m dev.release check TAG` before, `python -m dev.release status` after.

The workflow .github/workflows/publish.yml runs both; `check` is also what a maintainer runs first.
"""

import re
import sys
import time

import requests

from . import DevError
from .cache import ROOT

STILL_SCANNED = "NodeVersionStatusPending"
GOOD = "NodeVersionStatusActive"


def project(key: str) -> str:
    """A text of pyproject.toml's [project]."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf'^{key} = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise DevError(f"pyproject.toml has no {key}")
    return found[1]


def check(tag: str) -> str:
    """The changelog's entry of the version; DevError where tag, version and entry do not agree."""
    version = project("version")
    if tag != f"v{version}":
        raise DevError(f"the tag is {tag} and pyproject.toml says {version}; they must agree")
    entries = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1:]
    entry = next((each for each in entries if each.split()[0] == version), None)
    if entry is None:
        raise DevError(f"CHANGELOG.md has no entry for {version}")
    heading, _, text = entry.partition("\n")
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading):
        raise DevError(
            f"CHANGELOG.md: write `## {version} (YYYY-MM-DD)` in place of `## {heading}`"
        )
    return text.strip()


def wait_for_status(registry: str, patience: float = 1800, pause: float = 30) -> None:
    """Ask the registry for this version until its scan is over. DevError with the registry's reason
    where it is flagged, banned, or not there after `patience` seconds."""
    name, version = project("name"), project("version")
    address = f"{registry}/nodes/{name}/versions"
    status, deadline = "not listed", time.monotonic() + patience
    while time.monotonic() < deadline:
        answer = requests.get(address, {"include_status_reason": "true"}, timeout=60)
        listed = answer.json() if answer.ok else []
        mine = next((each for each in listed if each.get("version") == version), {})
        status = mine.get("status", "not listed")
        print(f"{name} {version}: {status}", flush=True)
        if status == GOOD:
            return
        if status not in (STILL_SCANNED, "not listed"):
            raise DevError(
                f"{version} is {status}: {mine.get('status_reason') or 'no reason given'}"
            )
        time.sleep(pause)
    raise DevError(f"{version} is {status} after {patience:.0f} s; look again later")


def main(command: str, *arguments: str) -> int:
    try:
        if command == "check":
            print(check(*arguments))
        else:
            # The registry's own client knows its address.
            from comfy_cli.registry import RegistryAPI

            wait_for_status(RegistryAPI().base_url)
    except DevError as error:
        print(f"python -m dev.release {command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
