"""What the registry's archive holds, and that nothing in it looks to a scanner like what it is not."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev.cache import ROOT

from .archive import archive_files, unpack_archive

GOLDEN = Path(__file__).with_name("archive.txt")
FILES = archive_files()
TEXTS = [name for name in FILES if Path(name).suffix in (".py", ".js", ".json", ".md", ".css")]
CODE = [name for name in FILES if name.endswith((".py", ".js"))]
LARGEST = 3_000_000


def test_the_archive_is_what_it_was():
    """archive.txt is the list; ENSEMBLE_UPDATE_CONTRACT=1 writes it anew, to be read before it is
    committed."""
    if os.environ.get("ENSEMBLE_UPDATE_CONTRACT"):
        GOLDEN.write_text("\n".join(FILES) + "\n", encoding="utf-8")
    promised = GOLDEN.read_text(encoding="utf-8").split()
    assert promised == FILES, "run with ENSEMBLE_UPDATE_CONTRACT=1 and commit the file"


def test_everything_a_user_opens_is_in_it():
    asked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    folders = ("ensemble/", "nodes/", "web/", "locales/", "example_workflows/", "subgraphs/")
    shipped = {name for name in asked.stdout.splitlines() if name.startswith(folders)}
    shipped = {name for name in shipped if (ROOT / name).is_file()}
    single = {"__init__.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"}
    assert shipped | single <= set(FILES)
    assert sum(name.startswith("web/docs/") and name.endswith(".md") for name in FILES) > 15
    left = {name.split("/")[0] for name in FILES}
    assert not left & {"tests", "dev", "dolls", "benchmarks", "docs", ".github", ".ci"}


def test_it_is_small(tmp_path):
    unpack_archive(tmp_path)
    weights = [name for name in FILES if name.endswith(".safetensors")]
    assert (tmp_path / "node.zip").stat().st_size < LARGEST + sum(
        (ROOT / name).stat().st_size for name in weights
    )


# What the registry's scans have flagged in public threads, and what malware in node packs was made of.
LOOKALIKES = {
    "code from text": r"\b(?:eval|exec|__import__)\s*\(|(?<![\w.])compile\s*\(",
    "a module by name": r"\bimportlib\.import_module|\bimp\.load",
    "objects from bytes": r"pickl|\bmarshal\b|\bshelve\b|\bdill\b|torch\.load\(",
    "other programs": r"\bsubprocess\b|os\.(?:system|popen|exec\w+|spawn\w+|startfile)\b|\bpexpect\b|\bpty\b",
    "packages at run time": r"\bpip\b[^\n]*\binstall\b|ensurepip|get-pip",
    "code over the net": r"\burlopen\b|\burlretrieve\b|\brequests\.(?:get|post)\b|\bsocket\.socket\b|\bparamiko\b|\bftplib\b",
    "the user's secrets": r"\bkeyring\b|\.ssh/|Login Data|cookies\.sqlite|\bgetpass\b|\bpynput\b|wallet\.dat",
    "hidden text": r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]",
    "a blob": r"[A-Za-z0-9+/=]{400,}|(?:\\x[0-9a-fA-F]{2}){16,}|(?:0x[0-9a-fA-F]{2},\s*){32,}",
}

EXPLAINED = {
    # controlnet-aux, where the user has it, under another name: its own start imports a dozen packages.
    ("a module by name", "ensemble/pose/estimators/openpose.py"),
    # The command `farm`, never a node: it starts the user's ComfyUI, once a GPU, and `ray start`.
    ("other programs", "ensemble/cluster/comfy.py"),
    ("other programs", "ensemble/cluster/join.py"),
    # A message for who has no Ray, and Ray's name for sending our own classes to its workers.
    ("packages at run time", "ensemble/cluster/pool.py"),
    ("objects from bytes", "ensemble/cluster/pool.py"),
}


@pytest.mark.parametrize("kind", LOOKALIKES)
def test_no_code_resembles(kind):
    """In comments and messages neither: the scans read text."""
    found = []
    for name in (name for name in CODE if (kind, name) not in EXPLAINED):
        for number, line in enumerate((ROOT / name).read_text("utf-8").splitlines(), 1):
            if re.search(LOOKALIKES[kind], line):
                found.append(f"{name}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_nothing_is_minified():
    for name in CODE:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert max(map(len, lines), default=0) < 200, name


def test_every_file_is_of_a_kind_that_is_expected():
    kinds = {Path(name).suffix for name in FILES if "/" in name}
    assert kinds <= {".py", ".js", ".css", ".md", ".json", ".png", ".jpg", ".svg", ".safetensors"}
    for name in TEXTS:
        (ROOT / name).read_text(encoding="utf-8")


# bandit's findings that are answered: rule -> what the line must show, and why that is enough.
ANSWERED = {
    # Folders of the user's own, never the net.
    "B615": r"local_files_only=True",
    # Our own column names and conditions; every value is bound.
    "B608": r"S608",
    # A scheduler's name and the like, taken for a password.
    "B105": r"",
    # The command `farm` starts the user's ComfyUI and `ray start`, from lists and without a shell.
    "B404": r"import subprocess",
    "B603": r"S603",
    # After a check that the type checker cannot follow.
    "B101": r"assert ",
    # What the reader finds beside it in the code.
    "B110": r"",
    "B112": r"",
}


def test_bandit_finds_nothing_unanswered(tmp_path):
    pack = unpack_archive(tmp_path)
    command = [sys.executable, "-m", "bandit", "-q", "-r", "-f", "json", str(pack)]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    assert not answer["errors"]
    assert answer["metrics"]["_totals"]["loc"] > 5000
    unanswered = [
        f"{each['filename']}:{each['line_number']}: {each['test_id']} {each['issue_text']}"
        for each in answer["results"]
        if not re.search(ANSWERED.get(each["test_id"], r"(?!)"), whole(each))
    ]
    assert not unanswered, "\n".join(unanswered)


def whole(finding: dict) -> str:
    """The source of the statement that bandit means."""
    text = Path(finding["filename"]).read_text(encoding="utf-8")
    wanted = finding["line_number"]
    around = [
        ast.get_source_segment(text, node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.stmt) and node.lineno <= wanted <= (node.end_lineno or node.lineno)
    ]
    lines = text.splitlines()[wanted - 1 : finding["end_col_offset"] and wanted + 2]
    return min(around, key=len, default="") + "\n".join(lines)
