"""`python dev test` in lanes: both are heard, and every room of tests is in one of them."""

import sys

from dev.base import ROOT
from dev.check import COMPUTING, LANES, run_lanes


class Stub:
    """An engine whose pytest prints its argument and its base, and ends with the number after the dash."""

    def command(self, *arguments: str) -> list[str]:
        says = "import os, sys; print('said', sys.argv[1], os.environ['ENSEMBLE_BASE'], flush=True)"
        return [
            sys.executable,
            "-c",
            f"{says}; sys.exit(int(sys.argv[1].split('-')[1]))",
            arguments[-1],
        ]

    def environment(self) -> dict[str, str]:
        return {}


def test_every_lane_has_a_base_of_its_own_and_its_words_and_code_come_through(tmp_path, capfd):
    (tmp_path / "models").mkdir()
    assert run_lanes(Stub(), [["a-0"], ["b-3"]], tmp_path) == [0, 3]
    said = [line.split() for line in capfd.readouterr().out.splitlines() if line.startswith("said")]
    assert [name for _, name, _ in said] == ["a-0", "b-3"]
    assert said[0][2] == str(tmp_path) != said[1][2]


def test_no_room_is_left_out_or_run_twice():
    everything, computing = LANES
    assert everything == ["tests", *(f"--ignore={room}" for room in computing)]
    assert all((ROOT / room).exists() for room in COMPUTING)
