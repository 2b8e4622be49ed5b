"""Publishing without publishing: the checks before, the question after, and the workflow's own steps."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
import yaml
from aiohttp import web

import dev.release
from dev import DevError
from dev.cache import ROOT
from dev.release import check, project, wait_for_status

from ..archive import archive_files

WORKFLOW = ROOT / ".github" / "workflows" / "publish.yml"
DATED = "# Changes\n\n## {0} (2026-11-27)\n\nFirst.\n\n## 0.0.1 (2026-01-01)\n\nBefore.\n"


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A folder with our pyproject.toml and a changelog whose entry is dated."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(DATED.format(project("version")))
    monkeypatch.setattr(dev.release, "ROOT", tmp_path)
    return tmp_path


def test_tag_version_and_changelog_agree(clone):
    assert check(f"v{project('version')}") == "First."


def test_another_tag_is_refused(clone):
    with pytest.raises(DevError, match=r"the tag is v9\.9\.9"):
        check("v9.9.9")


@pytest.mark.parametrize("heading", ["{0} (not released yet)", "{0}", "{0} (soon)"])
def test_an_entry_without_its_date_is_refused(clone, heading):
    version = project("version")
    (clone / "CHANGELOG.md").write_text(f"# Changes\n\n## {heading.format(version)}\n\nFirst.\n")
    with pytest.raises(DevError, match="YYYY-MM-DD"):
        check(f"v{version}")


def test_a_missing_entry_is_refused(clone):
    (clone / "CHANGELOG.md").write_text("# Changes\n\n## 0.0.1 (2026-01-01)\n")
    with pytest.raises(DevError, match="no entry"):
        check(f"v{project('version')}")


@pytest.fixture
def registry():
    """Answers with the given lists of versions, the last one again and again; keeps what was asked."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    answers: list = []
    asked: list[str] = []

    async def versions(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.json_response(answers.pop(0) if len(answers) > 1 else answers[0])

    async def listen() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/nodes/{name}/versions", versions)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", answers, asked
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)


def version(status: str, reason: str = "") -> dict:
    return {"version": project("version"), "status": status, "status_reason": reason}


def test_the_scan_is_waited_for(registry):
    address, answers, asked = registry
    answers += [[], [version("NodeVersionStatusPending")], [version("NodeVersionStatusActive")]]
    wait_for_status(address, pause=0)
    assert len(asked) == 3
    assert asked[0] == "/nodes/ensemble-portraits/versions?include_status_reason=true"


@pytest.mark.parametrize("status", ["NodeVersionStatusFlagged", "NodeVersionStatusBanned"])
def test_a_flagged_version_fails_with_its_reason(registry, status):
    address, answers, _ = registry
    answers.append([{"version": "0.0.1", "status": "x"}, version(status, "any-code-execute")])
    with pytest.raises(DevError, match=rf"{status}: any-code-execute"):
        wait_for_status(address, pause=0)


def test_a_scan_without_end_fails(registry):
    address, answers, _ = registry
    answers.append([version("NodeVersionStatusPending")])
    with pytest.raises(DevError, match="look again later"):
        wait_for_status(address, patience=0.2, pause=0.1)


def steps() -> list[dict]:
    (job,) = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    return job["steps"]


def test_only_a_tag_uploads():
    """And what is there to be read by the upload comes before it."""
    names = [step.get("name") for step in steps()]
    for step in steps():
        uploads = "node publish" in step.get("run", "") or "status" in step.get("run", "")
        assert not uploads or step["if"] == "github.event_name == 'push'"
    assert names.index("All tests") < names.index("The archive") < names.index("Publish")
    assert names[-1] == "What the registry's scan says"


@pytest.mark.slow
def test_the_workflow_as_a_dry_run(tmp_path):
    """Its own steps in a clone, save the tests and the upload; the archive is the one of archive.txt."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    tag = f"v{project('version')}"
    (clone / "CHANGELOG.md").write_text(DATED.format(project("version")))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    scripts = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "DO_NOT_TRACK": "1",
        "GITHUB_REF_NAME": tag,
    }
    for step in steps():
        line = step.get("run", "")
        if not line or step["name"] in ("All tests", "Publish", "What the registry's scan says"):
            continue
        done = subprocess.run(
            ["bash", "-c", line], cwd=clone, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{step['name']}: {done.stdout}{done.stderr}"
        assert "warning" not in done.stdout.lower(), done.stdout
        if "validate" in line:
            assert "All validation checks passed" in done.stdout + done.stderr
    with zipfile.ZipFile(clone / "node.zip") as archive:
        assert sorted(archive.namelist()) == archive_files()
