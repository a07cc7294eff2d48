"""A broker whose disk is full: it ends; with room made, everything goes on from where it was."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench import Bench

from streamrec.engine.broker import Broker

pytestmark = pytest.mark.chaos


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB. Skips where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    # CI's users are not root, but may become it without a password.
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mount = [*as_root, "mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"a small file system cannot be mounted: {error}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"a small file system cannot be mounted: {error.stderr}")
    yield folder
    subprocess.run([*as_root, "umount", str(folder)], check=True)


@pytest.fixture
def own_broker(broker: Any, small_disk: Path) -> Iterator[Broker]:
    """A broker with its data on the small disk."""
    if not isinstance(broker, Broker):
        pytest.skip("a broker of somebody else's is used")
    with Broker.start(data_dir=small_disk / "broker") as made:
        yield made


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    return
                raise


def test_full_and_then_with_room_again(own_bench: Bench, own_broker: Broker, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with own_bench.system() as system:
        workers = [system.start(role) for role in ("state", "scoring")]
        with system.traffic(per_s=50):
            system.wait_until_flowing()
            system.fault()
            fill(ballast)
            system.wait(lambda: not own_broker.running, what="the end of a broker without room")
            ballast.unlink()
            own_broker.restart()
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = own_bench.judge(system)
    verdict.check()
    assert verdict.repeats == 0 or len(verdict.exits) > len(workers)
    for each in workers:
        assert set(each.exits) <= {0, 1}
        assert "Traceback" not in each.log, each.log
