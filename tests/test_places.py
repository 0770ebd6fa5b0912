"""Commands on odd machines: full disks, terminals of other encodings, a notebook's settings, names that are no text."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.errors import ScoresepError, Unwritable, unwritable
from scoresep.files import read_text, replacing, write_text
from scoresep.plots.style import new_figure, save_figure

NAMES = ("絆", os.fsdecode(b"caf\xe9"), "a\nb", "[bold]x[red]", "\x1b[31mred", "x" * 250, "a  b", "$a_{")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]
    if sys.platform != "linux" or subprocess.run(mounting, check=False).returncode:
        pytest.skip("mounting a file system takes an administrator")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def song(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        soundfile.write(file, np.sin(np.arange(44100) / 16)[:, None] * [0.2, 0.1], 44100, format="WAV")
    return path


def run(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "scoresep", *arguments]
    ended = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False)
    assert b"Traceback" not in ended.stderr, ended
    return ended


@pytest.mark.robustness
@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_stems_on_a_full_disk(tmp_path, small_disk, form):
    (small_disk / "filler").write_bytes(bytes(60 << 10))
    ended = run(["separate", str(song(tmp_path / "x.wav")), "--out", "disk/o", "--format", form], tmp_path)
    assert ended.returncode == 2 and b"the disk is full" in ended.stderr and b"disk/o/x" in ended.stderr
    assert [path.name for path in small_disk.rglob("*")] == ["filler"]


@pytest.mark.robustness
def test_a_run_on_a_full_disk(tmp_path, small_disk, prepared):
    """TensorBoard writes in a thread of its own, whose traceback nobody needs."""
    (small_disk / "filler").write_bytes(bytes(64 << 10))
    ended = run(["train", "--cache", str(prepared), "--steps", "1", "--stage", "1", "--run", "disk/run"], tmp_path)
    assert ended.returncode == 2 and b"the disk is full" in ended.stderr and b"disk/run" in ended.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EISDIR])
def test_what_a_disk_says_behind_a_librarys_words(tmp_path, number):
    with pytest.raises(Unwritable) as said, replacing(tmp_path / "a.pt"):
        try:
            raise OSError(number, os.strerror(number))
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904 as torch does
    assert (said.value.errno, said.value.filename) == (number, str(tmp_path / "a.pt"))
    assert isinstance(said.value, ScoresepError) and "a.pt" in str(said.value) and ";" in str(said.value)
    assert said.value.no_room == (number in (errno.ENOSPC, errno.EDQUOT))
    assert unwritable(ValueError("something else")) is None


def test_a_picture_on_a_full_disk(small_disk, refused):
    (small_disk / "filler").write_bytes(bytes(64 << 10))
    with refused(Unwritable) as fault:
        save_figure(new_figure(4, 4), small_disk / "a.png")
    assert fault.value.no_room and "a.png" in str(fault.value)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.robustness
@pytest.mark.parametrize(("encoding", "names"), [("cp1252", NAMES), ("ascii", NAMES[:2])])
def test_names_that_a_terminal_cannot_show(tmp_path, encoding, names):
    for name in names:
        song(tmp_path / "album" / f"{name}.wav")
    ended = run(["transcribe", "album", "--plot"], tmp_path, PYTHONIOENCODING=encoding)
    assert ended.returncode == 0, ended
    made = {path.name for path in (tmp_path / "scores").iterdir()}
    assert made == {f"{name}{suffix}" for name in names for suffix in (".mid", ".png")}
    assert b"\x1b" not in ended.stdout


@pytest.mark.integration
def test_the_same_command_twice_in_one_folder(tmp_path):
    song(tmp_path / "album" / "x.wav")
    arguments = ["separate", ".", "--out", "."]
    assert run(arguments, tmp_path / "album").returncode == 0
    before = sorted(tmp_path.rglob("*"))
    again = run(arguments, tmp_path / "album")
    assert again.returncode == 0 and b"1 of 1 files" in again.stdout
    assert sorted(tmp_path.rglob("*")) == before and len(before) > 3


@pytest.mark.integration
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "TkAgg", ""])
def test_a_notebooks_way_of_showing_windows(tmp_path, backend):
    code = """
import os
from scoresep.plots.style import new_figure, save_figure
before = os.environ["MPLBACKEND"]
save_figure(new_figure(1, 1), "a.png")
assert os.environ["MPLBACKEND"] == before
"""
    environment = {**os.environ, "MPLBACKEND": backend}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_whoever_wrote_it(tmp_path, encoding, end):
    (tmp_path / "a.toml").write_bytes(f"[a]{end}b = 'é絆'{end}".encode(encoding))
    assert read_text(tmp_path / "a.toml") == "[a]\nb = 'é絆'\n"


@pytest.mark.parametrize("content", ["é".encode("latin-1"), "a = 1".encode("utf-16-le"), b"\xff\xfea"])
def test_text_in_another_encoding_is_named(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(ValueError):
        read_text(tmp_path / "a.toml")


def test_names_that_are_no_text_are_written_as_codes(tmp_path):
    write_text(tmp_path / "a.html", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "a.html").read_text("utf-8") == "caf\\udce9"
