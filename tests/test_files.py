"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.errors import InvalidValue, NotFound, Unwritable, WrongFormat
from scoresep.files import (
    Sink,
    as_path,
    as_target,
    check_writable,
    existing_file,
    folder_for_results,
    remove_stale,
    replacing,
    write_json,
    write_text,
    writing,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_file_has_its_final_name_only(tmp_path):
    with replacing(tmp_path / "deep" / "a.wav") as temporary:
        assert temporary.suffix == ".wav" and temporary.name != "a.wav"
        temporary.write_text("whole")
        assert names(tmp_path / "deep") == [temporary.name]
    assert names(tmp_path / "deep") == ["a.wav"]


def test_a_failure_leaves_the_old_file_and_no_temporary_one(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("ha")
        raise RuntimeError
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_a_failure_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("ha")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_json_comes_back_and_refuses_what_is_not_json(tmp_path):
    write_json(tmp_path / "a.json", {"x": [1, None, "é"]})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"x": [1, None, "é"]}
    with pytest.raises(ValueError):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert names(tmp_path) == ["a.json"]


def test_a_file_that_must_exist(tmp_path, refused):
    with refused(NotFound, tmp_path / "none.h5") as info:
        existing_file(tmp_path / "none.h5", "cache", "make one")
    assert "cache" in info.value.problem and info.value.remedy == "make one"
    with refused(WrongFormat, tmp_path):
        existing_file(tmp_path, "cache", "make one")
    write_text(tmp_path / "a", "")
    assert existing_file(str(tmp_path / "a"), "cache", "") == tmp_path / "a"


@pytest.mark.parametrize("path", ["", "a\0b", None, 3, b"a", "\ud800"])
def test_what_is_no_path_is_refused(path, refused):
    with refused(InvalidValue):
        as_path(path, "cache")


def test_what_a_killed_process_left_is_removed(tmp_path):
    """A process that writes, as long as it lives, keeps its file."""
    code = """
import sys, time
from scoresep.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print(flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.h5")], stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline()
        remove_stale(tmp_path / "a.h5")
        assert len(names(tmp_path)) == 1
        writer.kill()
    assert len(names(tmp_path)) == 1
    remove_stale(tmp_path / "a.h5")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device")
def test_no_file_takes_the_place_of_a_device(refused):
    with refused(Unwritable, "/dev/full"), replacing("/dev/full"):
        raise AssertionError("it is to be written")
    with refused(Unwritable, "/dev/full"):
        as_target("/dev/full", "picture")
    assert Path("/dev/full").is_char_device()


def test_a_place_that_takes_no_file(tmp_path, refused):
    write_text(tmp_path / "a", "")
    for path in (tmp_path, tmp_path / "a" / "b.json", tmp_path / "a" / "b" / "c.json"):
        with refused(Unwritable, path):
            as_target(path, "picture")
        with refused(Unwritable, path):
            write_json(path, {})
        with refused(Unwritable, path):
            check_writable(path, "picture")
    check_writable(tmp_path / "new" / "b.json", "picture")
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_a_folder_where_none_can_be_made(refused):
    with refused(Unwritable, "/proc/q"), folder_for_results("/proc/q"):
        pytest.fail("there is no such folder")
    with refused(Unwritable, "/proc/q/a.json"), replacing("/proc/q/a.json"):
        pytest.fail("there is no such folder")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_a_folder_that_takes_no_files_is_named(refused):
    with refused(Unwritable, "/proc/a.json"):
        check_writable(Path("/proc/a.json"), "figures")
    with pytest.raises(FileNotFoundError), writing("/tmp/a.json"):
        Path("/nowhere/song.wav").read_bytes()  # what is read is another matter


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device")
def test_a_sink_keeps_the_first_fault(tmp_path):
    """What it writes to is a link to a device that is always full."""
    (tmp_path / "temporary").symlink_to("/dev/full")
    with pytest.raises(OSError) as info, Sink(tmp_path / "temporary", tmp_path / "a.h5") as sink:
        assert sink.write(b"some") == 4 and sink.write(memoryview(np.zeros(3))) == 24
        sink.check()
    assert (info.value.errno, info.value.filename) == (errno.ENOSPC, str(tmp_path / "a.h5"))


def test_a_sink_is_a_file(tmp_path):
    with Sink(tmp_path / "a", tmp_path / "a") as sink:
        soundfile.write(sink, np.arange(5) / 8, 8000, format="WAV", subtype="FLOAT")
    assert soundfile.read(tmp_path / "a")[0].tolist() == [0, 0.125, 0.25, 0.375, 0.5]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="zombies are told by /proc")
def test_what_a_zombie_left_is_removed(tmp_path: Path) -> None:
    """A killed process whose parent has not reaped it yet, as in containers without an init, writes no more."""
    target = tmp_path / "a.txt"
    child = os.fork()
    if child == 0:
        with replacing(target) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # dead, not reaped
    try:
        assert list(tmp_path.iterdir())
        remove_stale(target)
        assert not list(tmp_path.iterdir())
    finally:
        os.waitpid(child, 0)
