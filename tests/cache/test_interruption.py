"""`scoresep prepare` stopped the hard way, with real processes: killed, out of disk, its files taken away.

Each time: what was finished stays, nothing is left half-written, and a second call ends with the cache of a call that
nobody disturbed. Who opens a certain recording waits at a FIFO, which nothing is written to, and so stays in the middle
of a shard for as long as a test wants.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import pytest
import soundfile

from scoresep.cache.build import prepare
from scoresep.cache.prepare_report import Report
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.pairs import open_pairs
from scoresep.datasets.slakh import open_slakh
from scoresep.errors import WrongVersion
from scoresep.evaluation.evaluate import evaluate, open_subject
from scoresep.evaluation.track_records import EvaluationSettings
from scoresep.executor import Engine
from scoresep.instruments import choose
from scoresep.nmf import FactoriseSettings
from scoresep.training.log import RunLog
from scoresep.training.run import Run

PAIRS = "scoresep prepare pairs songs --out c.h5 --instruments piano,other"
SLAKH = "scoresep prepare slakh corpus --out c.h5"
UNWRITTEN = FactoriseSettings(unwritten=True)
"""As `prepare pairs` has it by default."""
PAIRS_SETTINGS = CacheSettings(instruments=choose(["piano", "other"]), score_check="off", factorise=UNWRITTEN)
HELD = "song09"
"""A song in the middle of the second of three shards."""
pytestmark = [
    pytest.mark.robustness,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux to see what a process waits for"),
]
PATIENCE = 60
"""Seconds after which a test that waits for something gives up."""


class Running:
    """A command that runs in the background, in a process group of its own."""

    def __init__(
        self, folder: Path, line: str, limit: int | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """`limit`: largest file, in bytes, that it may write; `environment`: variables besides the usual."""
        command = [str(Path(sys.executable).with_name("scoresep")), *line.split()[1:]]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
        )

    def until(self, happened: Callable[[], object]) -> None:
        """Wait until something is so, while the command runs."""
        end = time.monotonic() + PATIENCE
        while not happened():
            assert self.process.poll() is None, f"it ended too early: {self.process.communicate()}"
            assert time.monotonic() < end, "it takes too long"
            time.sleep(0.001)

    def kill(self) -> None:
        """Kill it and all its workers."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE)
        for left in Path("/dev/shm").glob(f"sem.loky-{self.process.pid}-*"):  # which nobody was left to remove
            left.unlink(missing_ok=True)

    def refuses(self, *words: str) -> None:
        """It ends with status 2 and one line on standard error, with `words` in it."""
        _, said = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 2, said
        assert said.startswith("error: ") and said.count("\n") == 1, said
        assert all(word in said for word in words), said


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Running]]:
    """A function that starts a command in `tmp_path`; what still runs at the end of the test is killed."""
    started: list[Running] = []

    def run(line: str, **options: Any) -> Running:
        started.append(Running(tmp_path, line, **options))
        return started[-1]

    yield run
    for running in started:
        running.kill()


WAIT = """
import sys

def wait(event, arguments):
    if event == "open" and str(arguments[0]).endswith({recording!r}):
        with open({gate!r}, "rb") as gate:
            gate.read(1)

sys.addaudithook(wait)
"""
"""What processes run when they start (the module `sitecustomize`)."""


class Held:
    """The folder of songs, of which one recording cannot be opened, and is empty, until it is put back."""

    def __init__(self, songs: Path) -> None:
        self.folder, self.recording, self.kept = songs, songs / f"{HELD}.wav", songs.parent / "kept.wav"
        self.recording.rename(self.kept)
        self.recording.touch()
        self.gate = songs.parent / "gate"
        os.mkfifo(self.gate)
        self._end = os.open(self.gate, os.O_RDWR)  # while it is open, who reads the FIFO waits
        hooks = songs.parent / "hooks"
        hooks.mkdir()
        (hooks / "sitecustomize.py").write_text(WAIT.format(recording=self.recording.name, gate=str(self.gate)))
        self.environment = {"PYTHONPATH": os.pathsep.join([str(hooks), os.environ.get("PYTHONPATH", "")])}

    def reader(self, shards: Path) -> int:
        """Id of the process that waits for the recording, 0 if there is none."""
        for process in writers(shards, 1):
            with suppress(FileNotFoundError):  # a file that was closed, a process that ended meanwhile
                if any(file.readlink() == self.gate for file in Path(f"/proc/{process}/fd").iterdir()):
                    return process
        return 0

    def end(self) -> None:
        """Let go of who waits: the recording is empty."""
        os.close(self._end)

    def repair(self) -> None:
        """Put the recording back. Who waits still waits."""
        self.kept.replace(self.recording)


@pytest.fixture
def held(songs) -> Held:
    return Held(songs)


@pytest.fixture
def shards(tmp_path) -> Path:
    """Where the shards of the cache come to lie."""
    return tmp_path / "c.shards"


def temporaries(folder: Path) -> list[str]:
    """Names of all temporary files below `folder`."""
    return sorted(path.name for path in folder.rglob(".*.tmp*"))


def writers(shards: Path, number: int) -> list[int]:
    """Ids of the processes that write a shard."""
    found = (re.search(r"-(\d+)\.tmp", path.name) for path in shards.glob(f".shard-{number:05d}.*.tmp.h5"))
    return [int(match[1]) for match in found if match]


def others_done(shards: Path, held: Held) -> bool:
    """Whether the first and the last shard are there, and the second is held."""
    return all((shards / f"shard-0000{n}.h5").exists() for n in (0, 2)) and bool(held.reader(shards))


def stamps(shards: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in shards.glob("shard-*.h5")}


def again(tmp_path: Path, out: str = "c.h5") -> Report:
    """What `PAIRS` does, within this process."""
    return prepare(open_pairs(tmp_path / "songs"), tmp_path / out, PAIRS_SETTINGS, Engine(1))


def undisturbed(tmp_path: Path) -> Path:
    """The cache of the songs that a call makes that nobody disturbs."""
    return again(tmp_path, "undisturbed/c.h5").path


# Killed


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_in_the_middle_of_a_shard(tmp_path, held, start, shards, scoresep, assert_same, jobs):
    run = start(f"{PAIRS} --jobs {jobs}", environment=held.environment)
    run.until(lambda: held.reader(shards) and (shards / "shard-00000.h5").exists())
    run.kill()
    before = stamps(shards)
    assert "shard-00000.h5" in before and "shard-00001.h5" not in before
    assert temporaries(tmp_path) and not (tmp_path / "c.h5").exists()
    held.repair()
    ended = scoresep(f"{PAIRS} --jobs 1")
    assert ended.returncode == 0 and f"{len(before)} of 3 shards were there" in ended.stdout, ended
    assert before.items() <= stamps(shards).items() and not temporaries(tmp_path)
    assert_same(tmp_path / "c.h5", undisturbed(tmp_path))


def test_killed_parent_whose_worker_lives_on(tmp_path, held, start, shards, assert_same):
    """The worker that is left over gets in nobody's way, and its temporary file goes with it."""
    run = start(f"{PAIRS} --jobs 2", environment=held.environment)
    run.until(lambda: others_done(shards, held))
    left = held.reader(shards)
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait(PATIENCE)
    held.repair()
    assert again(tmp_path).reused == 2
    assert writers(shards, 1) == [left], "a file that a living process writes must stay"
    assert_same(tmp_path / "c.h5", undisturbed(tmp_path))
    os.kill(left, signal.SIGKILL)
    while Path(f"/proc/{left}").exists():
        time.sleep(0.001)
    assert again(tmp_path).reused == 3 and not temporaries(tmp_path)
    assert_same(tmp_path / "c.h5", undisturbed(tmp_path))


def test_killed_worker(tmp_path, held, start, shards, assert_same):
    run = start(f"{PAIRS} --jobs 2", environment=held.environment)
    run.until(lambda: others_done(shards, held))
    worker = held.reader(shards)
    assert worker != run.process.pid
    os.kill(worker, signal.SIGKILL)
    run.refuses("a worker process died", "what was finished is kept", "fewer --jobs")
    assert sorted(stamps(shards)) == ["shard-00000.h5", "shard-00002.h5"] and not temporaries(tmp_path)
    held.repair()
    assert again(tmp_path).reused == 2
    assert_same(tmp_path / "c.h5", undisturbed(tmp_path))


def test_killed_before_the_index(tmp_path, songs, start, shards, assert_same):
    """The table is written between the last shard and the index: here into a FIFO that nobody reads."""
    run = start(f"{PAIRS} --jobs 1")
    host = re.sub(r"[^A-Za-z0-9]", "", platform.node()) or "here"
    os.mkfifo(tmp_path / f".c.report.{host}-{run.process.pid}.tmp.csv")
    run.until(lambda: len(stamps(shards)) == 3 and not temporaries(shards))
    time.sleep(0.1)  # from the last shard to the table
    assert run.process.poll() is None and not (tmp_path / "c.h5").exists()
    run.kill()
    before = stamps(shards)
    assert again(tmp_path).reused == 3
    assert stamps(shards) == before and not temporaries(tmp_path)
    assert_same(tmp_path / "c.h5", undisturbed(tmp_path))


def test_killed_again_and_again(tmp_path, make, start, shards, scoresep, assert_same):
    """A corpus with stems, killed at whatever moment a shard begins, and at last left to itself."""
    make.corpus(tmp_path / "corpus", {n: ("train", "validation", "test")[n % 3] for n in range(1, 18)}, seconds=2.0)
    for number in range(3):
        run = start(f"{SLAKH} --jobs 1")
        run.until(lambda n=number: writers(shards, n))
        run.kill()
        assert sorted(stamps(shards)) == [f"shard-0000{n}.h5" for n in range(number)]
        assert not (tmp_path / "c.h5").exists()
    assert "2 of 3 shards were there" in scoresep(f"{SLAKH} --jobs 1").stdout
    assert not temporaries(tmp_path)
    prepare(open_slakh(tmp_path / "corpus"), tmp_path / "undisturbed.h5", CacheSettings(), Engine(1))
    assert_same(tmp_path / "c.h5", tmp_path / "undisturbed.h5")


# A full disk


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 1.5 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", disk], check=False).returncode:
        pytest.skip("mounting a file system takes an administrator")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_full_disk(tmp_path, songs, start, small_disk, assert_same):
    start(f"{PAIRS} --jobs 2 --out {small_disk}/c.h5").refuses("the disk is full", "c.shards/shard-0000", "again")
    before = stamps(small_disk / "c.shards")
    assert len(before) <= 1, "it has no room for two of the large ones"
    assert not temporaries(small_disk) and not (small_disk / "c.h5").exists()
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    assert again(tmp_path, "disk/c.h5").reused == len(before)
    assert before.items() <= stamps(small_disk / "c.shards").items()
    assert_same(small_disk / "c.h5", undisturbed(tmp_path))


def test_file_too_large(tmp_path, songs, start, shards, assert_same):
    """A limit on the size of files (`ulimit -f`) stops the two large shards."""
    start(f"{PAIRS} --jobs 1", limit=800_000).refuses("larger than is allowed", "c.shards/shard-00000.h5", "ulimit")
    assert not stamps(shards) and not temporaries(tmp_path)
    again(tmp_path)
    assert_same(tmp_path / "c.h5", undisturbed(tmp_path))


FAIL_EVERYWHERE = """
import resource, sys
from pathlib import Path
from scoresep.executor import Engine
from scoresep.cache.build import prepare
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.pairs import open_pairs
from scoresep.instruments import choose

corpus, settings = open_pairs("songs"), CacheSettings(instruments=choose(["piano", "other"]), score_check="off")
for limit in [*range(1_000, 6_000, 499), *range(6_000, 1_000_000, 49_999)]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        prepare(corpus, Path("c.h5"), settings, Engine(1))
    except OSError as fault:
        print(fault.errno)
"""


def test_no_write_that_fails_brings_the_process_down(tmp_path, songs):
    """HDF5 itself crashes when a write of its own fails, sometimes at the end of the process only (`cache.hdf5`)."""
    command = [sys.executable, "-c", FAIL_EVERYWHERE]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0 and ended.stderr == "", ended
    assert ended.stdout.split() == [str(errno.EFBIG)] * 31
    assert not stamps(tmp_path / "c.shards") and not temporaries(tmp_path)


# Files that come, go and change


def vanish(folder: Path) -> None:
    (folder / "song12.wav").unlink()


def change(folder: Path) -> None:
    soundfile.write(folder / "song12.wav", soundfile.read(folder / "song11.wav")[0][:-100], 16000)


@pytest.mark.parametrize("disturb", [vanish, change])
def test_a_file_that_vanishes_or_changes_meanwhile(tmp_path, held, start, shards, assert_same, disturb):
    """What was read of its shard cannot be trusted; the other shards can."""
    run = start(f"{PAIRS} --jobs 1", environment=held.environment)
    run.until(lambda: held.reader(shards))
    disturb(held.folder)
    held.end()
    run.refuses("song08 to song15", "changed while it was read", "run the same command again")
    assert sorted(stamps(shards)) == ["shard-00000.h5", "shard-00002.h5"] and not temporaries(tmp_path)
    held.repair()
    outcome = again(tmp_path)
    reasons = {item.track: item.reason for item in outcome.excluded}
    wanted = {"song12": "song12.mid has no recording; put song12.wav beside it"} if disturb is vanish else {}
    assert outcome.reused == 2 and reasons == wanted
    assert_same(tmp_path / "c.h5", undisturbed(tmp_path))


# Caches of others


def test_other_settings_are_refused_by_name(tmp_path, songs, scoresep):
    again(tmp_path)
    ended = scoresep("scoresep prepare pairs songs --out c.h5 --instruments piano,bass,other --jobs 1")
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert 'settings.instruments is ["piano", "other"], not ["piano", "bass", "other"]' in ended.stderr
    assert "c.shards" in ended.stderr and len(Cache(tmp_path / "c.h5").tracks) == 18


def as_version_1(index: Path) -> None:
    """Make a cache look like one of the first format version, which knew no version in its settings."""
    for path in (index, *index.with_name("cache.shards").glob("*.h5")):
        with h5py.File(path, "a") as file:
            file.attrs["version"] = 1
    noted = index.with_name("cache.shards") / "settings.json"
    about = json.loads(noted.read_text())
    del about["version"]
    for name in ("groups", "percussive", "score_check", "stems"):
        del about["settings"][name]
    noted.write_text(json.dumps(about))


@pytest.mark.parametrize("command", ["info {}", "info {} --plot Track00001", "train --cache {}"])
def test_caches_of_an_older_version_are_told(cache_copy, scoresep, command):
    as_version_1(cache_copy)
    ended = scoresep(f"scoresep {command.format(cache_copy)}")
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1, ended
    assert all(
        words in ended.stderr for words in ("cache.h5: ", "version 1", "versions 3 and 4", "the folder cache.shards")
    )


def test_a_checkpoint_whose_cache_is_of_an_older_version(cache_copy, tmp_path, make, refused):
    log = RunLog(tmp_path / "run")
    config, checkpoint = make.config("stage1.steps=1"), tmp_path / "ckpt.pt"
    Run(Cache(cache_copy), config, tmp_path / "run", checkpoint, log, last=1).train()
    log.close()
    as_version_1(cache_copy)
    for cache in (None, cache_copy):
        with refused(WrongVersion, cache_copy.resolve()):
            evaluate(open_subject(checkpoint, cache, EvaluationSettings("test")), device="cpu")


def test_nothing_is_prepared_into_a_cache_of_an_older_version(corpus, cache_copy, assert_same, prepared, refused):
    as_version_1(cache_copy)
    settings = CacheSettings(tracks_per_shard=2)
    with refused(WrongVersion, cache_copy) as fault:
        prepare(open_slakh(corpus), cache_copy, settings, Engine(1))
    assert "cache.shards" in fault.value.remedy
    cache_copy.unlink()
    shutil.rmtree(cache_copy.with_name("cache.shards"))
    prepare(open_slakh(corpus), cache_copy, settings, Engine(1))
    assert_same(cache_copy, prepared)
