"""The house in order: no long file, and documents that name what is there."""

import re
import subprocess

import pytest

from dev.cache import ROOT

LONGEST = 300
DOCUMENTS = ("CONTRIBUTING.md", "docs/architecture.md")


def tracked() -> list[str]:
    """Files under version control; all of a folder where there is none (an unpacked archive)."""
    asked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if asked.returncode == 0:
        return [name for name in asked.stdout.splitlines() if (ROOT / name).is_file()]
    return [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]


def test_no_file_of_code_is_long():
    code = [name for name in tracked() if name.endswith((".py", ".js", ".mjs"))]
    assert len(code) > 200
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in code}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_names_what_is_there(document):
    """Words in backticks with a slash or a suffix of ours are paths, save routes and placeholders."""
    text = (ROOT / document).read_text(encoding="utf-8")
    words = re.findall(r"`([\w./-]+)`", text)
    paths = [word for word in words if re.search(r"[a-z]/|\.(py|md|json|toml|txt)$", word)]
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert len(paths) > 15
    missing = {path for path in paths if not path.startswith("/") and not (ROOT / path).exists()}
    missing |= {link for link in links if not ((ROOT / document).parent / link).exists()}
    assert not missing
