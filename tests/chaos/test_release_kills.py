"""Killed in each phase of a release: the old or the new version serves, whole; the next run goes through."""

import dataclasses
import os
import signal
import subprocess
import sys

import pytest
import releaser
from app_processes import read
from bench import Bench
from system import System
from test_artifact_faults import releases_of_lists, swaps, two_versions
from traffic import real_clicks

from streamrec.registry import Registry
from streamrec.releases import announce, released
from streamrec.scorer import check_artifact, load_scorer, load_step

KILLED = -signal.SIGKILL
PER_S = 100.0
PHASES = ["training", "export", "publish", "published", "announce", "announced"]
_SMALL = ("embedding_size=16", "hidden_size=16", "epochs=1", "batch_size=8", "n_sample=16")


def run(bench: Bench, phase: str) -> int:
    """Train on what is on the topic, publish and release; killed in a phase. The exit code."""
    command = [sys.executable, releaser.__file__, phase, "train", "gru4rec", "--from-topic", "--release"]
    for each in _SMALL:
        command += ["--param", each]
    environment = {**os.environ, **bench.settings.environment()}
    with (bench.folder / f"release-{phase}.log").open("wb") as log:
        return subprocess.run(command, env=environment, stdout=log, stderr=log, timeout=120).returncode


def with_all_versions(bench: Bench, registry: Registry) -> Bench:
    """A bench that knows whatever was published."""
    versions = registry.versions("gru4rec")
    return dataclasses.replace(
        bench,
        steps={each: load_step(registry, each) for each in versions},
        scorers={each: load_scorer(registry, each) for each in versions},
    )


def is_live_everywhere(system: System, version: str) -> bool:
    line = f'streamrec_model_info{{model="gru4rec",slot="live",version="{version}"}} 1.0'
    return all(line in worker.page("metrics") for worker in system.workers)


def release_with_kills(bench: Bench, phases: list[str]) -> None:
    """Under traffic: a run killed in each phase, and after each one a run that goes through."""
    with two_versions(bench) as (bench, _, _), bench.system() as system:
        registry = Registry.of(bench.settings)
        for role in ("state", "scoring"):
            system.start(role)
        with system.traffic(PER_S, real_clicks(bench.seed)):
            system.wait_until_flowing()
            system.wait(lambda: len(read(bench.settings, "interactions")) > 500, what="clicks to train on")
            system.fault()
            for phase in phases:
                before, live = set(registry.versions("gru4rec")), live_version(bench)
                assert run(bench, phase) == KILLED, (bench.folder / f"release-{phase}.log").read_text()
                new = set(registry.versions("gru4rec")) - before
                assert len(new) == (phase in ("published", "announce", "announced"))
                for each in new:
                    check_artifact(registry, each)
                # Once it is announced it is the new one, whatever was killed.
                serving = new.pop() if phase == "announced" else live
                assert live_version(bench) == serving
                system.wait(lambda v=serving: is_live_everywhere(system, v), what=f"{serving} after {phase}")
                system.wait_until_flowing()
                assert run(bench, "none") == 0, (bench.folder / "release-none.log").read_text()
                assert live_version(bench) not in (serving, live)
                assert released(bench.settings)["gru4rec/previous"].version == serving
                system.wait(lambda: is_live_everywhere(system, live_version(bench)), what="the next run")
                system.wait_until_flowing()
        check(with_all_versions(bench, registry), system)


def live_version(bench: Bench) -> str:
    return released(bench.settings)["gru4rec/live"].version


def check(bench: Bench, system: System, kills: int = 0) -> None:
    """Each click has its one list, as the oracle makes it, and the last one is of the live version."""
    system.settle()
    system.stop()
    verdict = bench.judge(system)
    verdict.check()
    assert verdict.exits.count(KILLED) == kills
    assert verdict.recommendations_found == verdict.recommendations_expected > 0
    assert releases_of_lists(system)[-1] == live_version(bench)


@pytest.mark.chaos
def test_a_release_killed_in_each_phase(bench: Bench) -> None:
    release_with_kills(bench, PHASES)


def test_a_release_killed_as_it_announces(bench: Bench) -> None:
    release_with_kills(bench, ["announce"])


def swap_with_a_kill(bench: Bench, role: str, fault: str) -> None:
    """A worker ends while it takes a new version; started again, it serves with the live one."""
    with two_versions(bench) as (bench, first, second), bench.system() as system:
        workers = [system.start(each, [fault] if each == role else ()) for each in ("state", "scoring")]
        with system.traffic(PER_S, real_clicks(bench.seed)):
            system.wait_until_flowing()
            system.fault()
            announce(bench.settings, "gru4rec", second)
            system.wait(lambda: any(each.exits for each in workers), what=f"the end of {role}")
            system.wait_until_flowing()
            system.wait(lambda: is_live_everywhere(system, second), what="the new version")
            announce(bench.settings, "gru4rec", first)
            system.wait(lambda: is_live_everywhere(system, first), what="the next release")
            system.wait_until_flowing()
            assert all(swaps(each, "refused", "untrusted") == 0 for each in workers)
        check(bench, system, kills=1)
        assert set(releases_of_lists(system)) == {first, second}


SWAPS = [("state", "load 4"), ("scoring", "load 2"), ("state", "swap"), ("scoring", "swap")]


@pytest.mark.chaos
@pytest.mark.parametrize(("role", "fault"), SWAPS, ids=["-".join(each).replace(" ", "-") for each in SWAPS])
def test_a_worker_killed_while_it_takes_a_version(bench: Bench, role: str, fault: str) -> None:
    swap_with_a_kill(bench, role, fault)


def test_state_killed_in_the_first_batch_of_a_new_version(bench: Bench) -> None:
    swap_with_a_kill(bench, "state", "swap")
