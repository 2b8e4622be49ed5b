"""The house in order: no long file, and documents that name what is there."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from dev.cache import ROOT

LONGEST = 300
# Shorter runs, and runs of short lines, are alike by chance: a node's schema, a closing of brackets.
RUN, TELLING = 5, 150
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


def runs(name: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Each RUN lines of code in a row that say something (imports, comments and brackets do not), and
    the number of the first."""
    lines = enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
    kept = [(number, line.strip()) for number, line in lines if line.strip()]
    kept = [each for each in kept if not each[1].startswith(("#", "//", "*", "import ", "from "))]
    for at in range(len(kept) - RUN + 1):
        window = tuple(line for _, line in kept[at : at + RUN])
        if sum(map(len, window)) > TELLING:
            yield window, kept[at][0]


def test_no_run_of_lines_stands_twice():
    shipped = ("ensemble/", "nodes/", "web/js/", "dev/", "benchmarks/")
    code = [
        name for name in tracked() if name.startswith(shipped) and name.endswith((".py", ".js"))
    ]
    places: dict[tuple[str, ...], list[str]] = {}
    for name in code:
        for window, number in runs(name):
            places.setdefault(window, []).append(f"{name}:{number}")
    twice = [" and ".join(each) for each in places.values() if len(each) > 1]
    assert not twice, "\n".join(twice)


def test_no_test_file_is_imported_by_its_bare_name():
    """Files of one name stand in several folders: which of them `import test_x` finds is luck. What tests
    share stands in a module with a name of its own, or is imported from its package."""
    imports = re.compile(r"^\s*(?:from|import) test_\w+", re.M)
    found = [
        name
        for name in tracked()
        if name.startswith("tests/")
        and name.endswith(".py")
        and imports.search((ROOT / name).read_text())
    ]
    assert found == []


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
