"""`farm head` and `farm worker`: this machine as a part of a cluster, until Ctrl+C.

`ray start` with the settings of address.py, and ended by the id of what was started: `ray stop` would end
every Ray of this user.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .address import Address, AddressError, has_token, read_address, settings, token_file
from .machine import Machine, find_machine
from .pool import PIP_LINE, NoRayError

ROLES = ("head", "worker")


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="farm", description="Arguments after -- go to each ComfyUI of this machine."
    )
    roles = whole.add_subparsers(dest="role", required=True)
    head = roles.add_parser("head", help="begin a cluster here; it makes the cluster's token")
    head.add_argument("--address", metavar="HOST:6379", required=True,
                      help="where the other machines reach this one")  # fmt: skip
    worker = roles.add_parser("worker", help="add this machine to a cluster")
    worker.add_argument("--join", metavar="HOST:6379", required=True, dest="address",
                        help="the address of the head")  # fmt: skip
    for each in (head, worker):
        each.add_argument("--gpus", metavar="N", type=int,
                          help="how many workers run here (default: all GPUs)")  # fmt: skip
        each.add_argument("--comfyui", metavar="FOLDER", type=Path)
        each.add_argument("--python", metavar="FILE", type=Path)
    return whole


def main(arguments: Sequence[str], comfy: Sequence[str]) -> int:
    asked = parser().parse_args(arguments)
    address = read_address(asked.address)
    if not address.host:
        raise AddressError("a cluster needs an address; on one machine `farm JOBS` is enough")
    if asked.role == "worker" and address.loopback:
        raise AddressError(
            f"{address.ray} is this machine itself; name the head's address in the network, or give "
            "this machine's GPUs to the head by --gpus N"
        )
    machine = find_machine(asked.comfyui, asked.python, comfy)
    if asked.role == "head" and not has_token(os.environ, Path.home()):
        print(
            f"made a token in {make_token(Path.home())}; copy it to the other machines", flush=True
        )
    environment = environment_of(address, machine, os.environ, Path.home())
    return _run(start_command(asked.role, address, asked.gpus), environment)


def make_token(home: Path) -> Path:
    """A new token where Ray looks for it, readable by its owner alone."""
    path = token_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
    return path


def start_command(role: str, address: Address, gpus: int | None) -> list[str]:
    """What runs in the foreground as long as the machine belongs to the cluster."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    if role == "head":
        command += ["--head", f"--node-ip-address={address.host}", f"--port={address.port}"]
        command += ["--include-dashboard=false"]
    else:
        command += [f"--address={address.ray}"]
    return command + ([] if gpus is None else [f"--num-gpus={gpus}"])


def environment_of(
    address: Address, machine: Machine, environment: Mapping[str, str], home: Path
) -> dict[str, str]:
    """Of Ray and of the workers that it starts here."""
    return {**environment, **settings(address, environment, home), **machine.environment()}


def _run(command: list[str], environment: dict[str, str]) -> int:
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise NoRayError(f"a cluster needs Ray: {PIP_LINE}")
    process = subprocess.Popen(command, env=environment)  # noqa: S603 - our own command
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.terminate())
    return process.wait()
