import sys
from pathlib import Path

import pytest

from dev import DevError
from dev.engine import (
    Engine,
    check_packages,
    enter,
    find_python,
    given_engine,
    missing_packages,
)
from dev.server import Server


@pytest.fixture
def install(tmp_path, monkeypatch) -> Path:
    """A folder that looks like ComfyUI 0.30 and is named by COMFYUI_PATH."""
    comfyui = tmp_path / "portable" / "ComfyUI"
    comfyui.mkdir(parents=True)
    (comfyui / "main.py").write_text("raise SystemExit('no model for you')\n")
    (comfyui / "comfyui_version.py").write_text('__version__ = "0.30.0"\n')
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    monkeypatch.delenv("COMFYUI_PYTHON", raising=False)
    return comfyui


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_no_comfyui_path_means_no_given_engine(monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    assert given_engine() is None


def test_the_running_python_is_the_last_resort(install):
    assert given_engine() == Engine(Path(sys.executable), install, given=True)


def test_pythons_are_tried_in_order(install, monkeypatch):
    virtual = touch(install / ".venv" / "bin" / "python")
    assert find_python(install) == virtual
    embedded = touch(install.parent / "python_embeded" / "python.exe")
    assert find_python(install) == embedded
    named = touch(install.parent / "mine" / "python")
    monkeypatch.setenv("COMFYUI_PYTHON", str(named))
    assert find_python(install) == named


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c, m: (c / "main.py").unlink(), "has no main.py"),
        (lambda c, m: m.setenv("COMFYUI_PATH", str(c.parent)), "set COMFYUI_PATH="),
        (
            lambda c, m: (c / "comfyui_version.py").write_text('__version__ = "0.3.60"\n'),
            "ComfyUI 0.3.60; update it to 0.30.0",
        ),
        (lambda c, m: m.setenv("COMFYUI_PYTHON", str(c / "none")), "COMFYUI_PYTHON"),
    ],
)
def test_a_wrong_install_gives_one_line(install, monkeypatch, change, says):
    change(install, monkeypatch)
    with pytest.raises(DevError) as error:
        given_engine()
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_packages_are_named(tmp_path, capsys):
    wishes = tmp_path / "requirements.txt"
    wishes.write_text("# comment\ntorch>=2\nno-such-package[extra]==1\npillow\n")
    assert missing_packages(wishes) == ["no-such-package"]
    check_packages(wishes)
    assert "lacks no-such-package" in capsys.readouterr().out


def test_a_python_that_does_not_run_comfyui_is_named(monkeypatch):
    monkeypatch.setattr("dev.engine.missing_packages", lambda _: ["torch", "numpy"])
    with pytest.raises(DevError, match="has no torch; set COMFYUI_PYTHON") as error:
        check_packages()
    assert "\n" not in str(error.value)


def test_an_engine_that_cannot_be_run_gives_one_line(tmp_path):
    """Both ways of going on: exec, and what stands for it on Windows."""
    broken = tmp_path / "python"
    broken.write_text("no program")
    for platform in ("linux", "win32"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dev.engine.sys.platform", platform)
            with pytest.raises(DevError, match="does not run"):
                enter(Engine(broken, tmp_path, given=True), [])


def test_on_windows_ctrl_c_waits_for_the_run_that_it_also_ends(tmp_path, monkeypatch):
    """There `python dev` stays as the parent of its second run."""
    from unittest import mock

    second = mock.MagicMock()
    second.__enter__.return_value.wait.side_effect = [KeyboardInterrupt, 130]
    monkeypatch.setattr("dev.engine.sys.platform", "win32")
    monkeypatch.setattr("dev.engine.subprocess.Popen", lambda *_, **__: second)
    assert enter(Engine(tmp_path / "python", tmp_path, given=True), ["serve"]) == 130


def test_nothing_is_written_into_a_given_install(install, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    environment = Engine(Path(sys.executable), install, given=True).environment()
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    server = Server(Engine(Path(sys.executable), install, given=True), install.parent / "base")
    command = server.command()
    server.stop()
    assert command[command.index("--base-directory") + 1] == str(install.parent / "base")
    # Only main.py itself is inside the install.
    assert [part for part in command if str(install) in part] == [str(install / "main.py")]


@pytest.mark.parametrize("chosen", [None, "active"])
def test_threads_that_wait_leave_the_cores_to_others(install, monkeypatch, chosen):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    environment = Engine(Path(sys.executable), install, given=True).environment()
    assert environment["OMP_WAIT_POLICY"] == (chosen or "passive")


def test_a_failed_start_shows_the_end_of_the_log(install):
    engine = Engine(Path(sys.executable), install, given=True)
    with pytest.raises(DevError, match=r"code 1(.|\n)*no model for you"), Server(engine, install):
        pass


def test_extra_packages_come_last(tmp_path, install):
    import subprocess

    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "only_here.py").write_text("import sys; print(sys.path[-1], sys.argv[1])")
    engine = Engine(Path(sys.executable), install, given=True, extra=tmp_path / "extra")
    answer = subprocess.run(engine.command("only_here", "word"), capture_output=True, text=True)
    assert answer.stdout.split() == [str(tmp_path / "extra"), "word"]
