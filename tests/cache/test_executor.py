"""Who does the work: processes of this machine, a real Dask cluster of two workers, machines that share the work."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import distributed
import pytest

from scoresep import __version__
from scoresep import executor as engine
from scoresep.cache.build import prepare
from scoresep.cache.schema import CacheSettings
from scoresep.cli.prepare import read_part
from scoresep.datasets.slakh import open_slakh
from scoresep.errors import Failed, InvalidValue, Unavailable, WrongVersion
from scoresep.executor import Engine

pytestmark = pytest.mark.integration

SETTINGS = CacheSettings(tracks_per_shard=2)


class OddError(Exception):
    """An error of nobody else."""


def double(number: int) -> int:
    return 2 * number


def own_process(number: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def fail_at_three(number: int) -> int:
    if number == 3:
        raise OddError(f"the number is {number}")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def command(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.fixture(autouse=True)
def no_client_left() -> Iterator[None]:
    """Let go of clients that found no scheduler, here and now.

    A client's end takes Dask's lock. Where the collector comes to it while another client's loop is starting, that has
    the lock and waits for the very thread that the collector runs in, for ten seconds; then it is not started.
    """
    yield
    gc.collect()


def local_cluster(workers: int) -> distributed.LocalCluster:
    """A Dask cluster in this process."""
    return distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a Dask scheduler with two worker processes; a task that kills one worker is not given to another."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        local_cluster(2) as running,
    ):
        yield running.scheduler_address


@pytest.fixture(params=["one process", "two processes", "Dask"])
def any_engine(request) -> Engine:
    if request.param == "Dask":
        return Engine(scheduler=request.getfixturevalue("cluster"))
    return Engine(1 if request.param == "one process" else 2)


# The map


def test_every_result_comes_once(any_engine):
    assert sorted(any_engine.map(double, range(20))) == list(range(0, 40, 2))


def test_nothing_to_do(any_engine):
    assert list(any_engine.map(double, [])) == []


def test_an_error_of_a_call_ends_the_map_as_it_is(any_engine):
    with pytest.raises(OddError, match="the number is 3"):
        list(any_engine.map(fail_at_three, range(20)))
    assert sorted(any_engine.map(double, range(3))) == [0, 2, 4], "the engine works on"


def test_one_job_runs_in_this_process():
    assert set(Engine(1).map(own_process, range(3))) == {os.getpid()}


def test_two_jobs_run_in_two_others():
    found = set(Engine(2).map(own_process, range(8)))
    assert len(found) == 2 and os.getpid() not in found


def test_the_workers_of_the_cluster_do_the_work(cluster):
    found = set(Engine(scheduler=cluster).map(own_process, range(8)))
    assert len(found) == 2 and os.getpid() not in found


@pytest.mark.parametrize(
    ("where", "remedy"), [("processes", "with fewer --jobs"), ("Dask", "with more memory for each")]
)
def test_a_worker_that_dies_is_told_in_one_line(where, remedy, request, refused):
    workers = Engine(2) if where == "processes" else Engine(scheduler=request.getfixturevalue("cluster"))
    with refused(Failed) as fault:
        list(workers.map(die_at_three, range(20)))
    assert remedy in fault.value.remedy
    assert sorted(workers.map(double, range(3))) == [0, 2, 4], "there are new workers"


# Dask


def test_a_cluster_makes_the_same_cache_as_one_process(cluster, corpus, prepared, tmp_path, assert_same):
    report = prepare(open_slakh(corpus), tmp_path / "cache.h5", SETTINGS, Engine(scheduler=cluster))
    assert report.shards == 3 and report.tracks == {"train": 3, "validation": 1, "test": 1}
    assert_same(tmp_path / "cache.h5", prepared)


def test_the_command_line_on_a_cluster(cluster, corpus, tmp_path, scoresep, assert_same):
    ended = scoresep(f"scoresep prepare slakh {corpus} --out cache.h5 --scheduler {cluster}")
    assert ended.returncode == 0 and ended.stderr == "", ended
    prepare(open_slakh(corpus), tmp_path / "alone.h5", CacheSettings(), Engine(1))
    assert_same(tmp_path / "cache.h5", tmp_path / "alone.h5")


def test_no_scheduler(monkeypatch, refused):
    monkeypatch.setattr(engine, "ANSWER", 1.0)
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with refused(Unavailable) as fault:
            list(Engine(scheduler=address).map(double, range(3)))
        assert address in fault.value.problem


@pytest.mark.parametrize("address", ["nonsense", "odd://here:1", "tcp://:"])
def test_an_address_that_is_none(address, refused):
    with refused(Unavailable) as fault:
        list(Engine(scheduler=address).map(double, range(3)))
    assert address in fault.value.problem


def test_a_scheduler_without_workers(monkeypatch, refused):
    monkeypatch.setattr(engine, "ANSWER", 1.0)
    with local_cluster(0) as empty, refused(Unavailable):
        list(Engine(scheduler=empty.scheduler_address).map(double, range(3)))


@pytest.fixture
def started(tmp_path) -> Iterator[Callable[..., tuple[str, subprocess.Popen[bytes]]]]:
    """A function that starts a scheduler and a worker as users do; gives the address and the scheduler's process."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> tuple[str, subprocess.Popen[bytes]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            host, port = free.getsockname()
        address = f"tcp://{host}:{port}"
        for line in (
            f"scheduler --host {host} --port {port} --no-dashboard",
            f"worker {address} --nthreads 1 --no-nanny --no-dashboard",
        ):
            processes.append(
                subprocess.Popen(
                    [command("dask"), *line.split()],
                    cwd=tmp_path,
                    env=os.environ | environment,
                    stderr=subprocess.DEVNULL,
                )
            )
        return address, processes[0]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_scheduler_that_goes_away(started, capfd, refused):
    address, scheduler = started()
    results = Engine(scheduler=address).map(time.sleep, [0.05] * 200)
    assert next(results) is None
    scheduler.kill()
    with refused(Failed):
        list(results)
    assert "Traceback" not in capfd.readouterr().err


def test_a_cluster_without_scoresep(started, tmp_path, refused):
    (tmp_path / "scoresep.py").write_text("raise ImportError('it is not installed')")
    address, _ = started(PYTHONPATH=str(tmp_path))
    with refused(Unavailable) as fault:
        list(Engine(scheduler=address).map(double, range(3)))
    assert "not installed" in fault.value.problem


def test_a_cluster_with_another_version(cluster, monkeypatch, refused):
    monkeypatch.setattr(engine, "__version__", "99.0")
    with refused(WrongVersion) as fault:
        list(Engine(scheduler=cluster).map(double, range(3)))
    assert __version__ in fault.value.problem and "99.0" in fault.value.problem


def test_without_dask(monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused(Unavailable):
        list(Engine(scheduler="tcp://127.0.0.1:8786").map(double, range(3)))


# Machines that share the work


def test_parts_and_a_final_call_make_the_same_cache(corpus, prepared, tmp_path, assert_same):
    tracks = open_slakh(corpus)
    out = tmp_path / "cache.h5"
    for number in (3, 1, 2):
        report = prepare(tracks, out, SETTINGS, Engine(1), part=(number, 3))
        assert (report.shards, report.reused) == (1, 0) and not out.exists()
    assert prepare(tracks, out, SETTINGS, Engine(1)).reused == 3
    assert_same(out, prepared)


def test_a_missing_part_is_made_by_the_final_call(corpus, prepared, tmp_path, assert_same):
    tracks = open_slakh(corpus)
    out = tmp_path / "cache.h5"
    prepare(tracks, out, SETTINGS, Engine(1), part=(2, 3))
    assert sorted(path.name for path in (tmp_path / "cache.shards").glob("*.h5")) == ["shard-00001.h5"]
    assert prepare(tracks, out, SETTINGS, Engine(1)).reused == 1
    assert_same(out, prepared)


def test_more_parts_than_shards(corpus, tmp_path):
    report = prepare(open_slakh(corpus), tmp_path / "cache.h5", SETTINGS, Engine(1), part=(7, 9))
    assert (report.shards, report.reused, report.tracks) == (0, 0, {}) and not (tmp_path / "cache.h5").exists()


def test_parts_at_the_same_time(tmp_path, make, assert_same):
    """Three processes at once, as on three machines, of which one has nothing to do."""
    make.corpus(tmp_path / "corpus", {n: ("train", "validation", "test")[n % 3] for n in range(1, 17)}, seconds=1.0)
    line = ["prepare", "slakh", "corpus", "--out", "cache.h5", "--jobs", "1"]
    running = [
        subprocess.Popen([command("scoresep"), *line, "--part", f"{n}/3"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        for n in (1, 2, 3)
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0] and not (tmp_path / "cache.h5").exists()
    tracks = open_slakh(tmp_path / "corpus")
    assert prepare(tracks, tmp_path / "cache.h5", CacheSettings(), Engine(1)).reused == 2
    prepare(tracks, tmp_path / "alone.h5", CacheSettings(), Engine(1))
    assert_same(tmp_path / "cache.h5", tmp_path / "alone.h5")


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5"])
def test_parts_that_are_none(part, refused):
    with refused(InvalidValue):
        read_part(part)
