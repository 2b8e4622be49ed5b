"""Whether the API exists: the switch, the key beyond loopback, and the store's file."""

import asyncio
import logging

import folder_paths
import pytest
from ensemble_portraits.ensemble.server.api.start import register_api
from ensemble_portraits.ensemble.server.api.store import JobStore

KEY = "a-secret-of-the-user"


@pytest.fixture
def registered(tmp_path, monkeypatch, caplog):
    """`registered(listen, **environment)`: the API's paths and what the log says."""
    from comfy.cli_args import args

    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path))
    for name in ("ENSEMBLE_API", "ENSEMBLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    async def register():
        import server as comfy

        prompt_server = comfy.PromptServer(asyncio.get_running_loop())
        register_api(prompt_server)
        return {each.path for each in prompt_server.routes if "/ensemble/" in each.path}

    def run(listen="127.0.0.1", **environment):
        monkeypatch.setattr(args, "listen", listen)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with caplog.at_level(logging.INFO):
            return asyncio.run(register()), caplog.text

    return run


def test_off_means_that_nothing_is_there(registered, tmp_path):
    paths, log = registered()
    assert paths == set()
    assert "Ensemble API" not in log
    assert not list(tmp_path.iterdir())


def test_on(registered):
    paths, log = registered(ENSEMBLE_API="1")
    assert len(paths) == 9
    assert "is on" in log


def test_beyond_loopback_it_wants_a_key(registered):
    paths, log = registered("0.0.0.0", ENSEMBLE_API="1")  # noqa: S104
    assert paths == set()
    assert "stays off" in log
    assert "ENSEMBLE_API_KEY" in log


def test_beyond_loopback_with_a_key(registered):
    paths, log = registered("0.0.0.0", ENSEMBLE_API="1", ENSEMBLE_API_KEY=KEY)  # noqa: S104
    assert len(paths) == 9
    assert KEY not in log


def test_a_second_comfyui_over_the_same_folder_stays_off(registered, tmp_path):
    first = JobStore(tmp_path / "__ensemble" / "api.sqlite3")
    paths, log = registered(ENSEMBLE_API="1")
    first.close()
    assert paths == set()
    assert "api.sqlite3 cannot be used: database is locked" in log
