"""Files are written whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoresep import files
from scoresep.errors import ScoresepError
from scoresep.files import as_target, existing_file, replacing, write_json, write_text


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


def test_existing_file_names_what_is_missing_and_what_to_do(tmp_path):
    with pytest.raises(ScoresepError, match=r"cache .*none\.h5 does not exist; make one"):
        existing_file(tmp_path / "none.h5", "cache", "make one")
    with pytest.raises(ScoresepError, match="is not a file"):
        existing_file(tmp_path, "cache", "make one")
    write_text(tmp_path / "a", "")
    assert existing_file(str(tmp_path / "a"), "cache", "") == tmp_path / "a"


def test_what_a_dead_process_left_goes_even_if_nobody_has_waited_for_it(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays as a zombie
    left = [tmp_path / f".a.{files._host()}-{process}.tmp.h5" for process in (child.pid, os.getpid())]
    for path in left:
        path.write_bytes(b"half")
    files.remove_stale(tmp_path / "a.h5")
    assert [path.exists() for path in left] == [False, True]
    child.wait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device")
def test_no_file_takes_the_place_of_a_device():
    with pytest.raises(ScoresepError, match="/dev/full"), replacing("/dev/full"):
        raise AssertionError("it is to be written")
    with pytest.raises(ScoresepError, match=r"/dev/full.*device"):
        as_target("/dev/full", "picture")
    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_a_folder_that_takes_no_files_is_named():
    for path in ("/proc/a.json", "/proc/folder/a.json"):
        with pytest.raises(files.Unwritable, match=rf"{path}.*another place"):
            write_json(path, {})
    with pytest.raises(FileNotFoundError), files.writing("/tmp/a.json"):
        Path("/nowhere/song.wav").read_bytes()  # what is read is another matter
