"""`scoresep doctor`: what is whole is called good, what is damaged is named with a remedy."""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path

import h5py
import pytest
import torch

from scoresep.cache.reader import Cache, check_cache
from scoresep.errors import ScoresepError
from scoresep.instruments import choose
from scoresep.models.checkpoint import Checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings

doctor = importlib.import_module("scoresep.cli.doctor")  # the package has the command of that name


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_a_whole_cache_is_whole(prepared):
    seen = []
    assert check_cache(Cache(prepared), lambda done, total: seen.append((done, total))) == []
    assert seen[-1][0] == seen[-1][1] == len(seen)
    assert doctor.cached(prepared, None).state == "good"


@pytest.mark.parametrize("name", ["magnitude", "harmonic", "mixture", "notes"])
def test_one_flipped_bit_is_found(cache_copy, name):
    path = Cache(cache_copy).shard_path(0)
    with h5py.File(path, "r") as file:
        offset = file[name].id.get_chunk_info(0).byte_offset
    flip(path, offset + 5)
    check = doctor.cached(cache_copy, None)
    assert check.state == "bad" and str(path) in check.detail and "prepare again" in check.detail


def test_a_missing_and_a_cut_shard_are_named(cache_copy):
    cache = Cache(cache_copy)
    path = cache.shard_path(0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert str(path) in doctor.cached(cache_copy, None).detail
    path.unlink()
    check = doctor.cached(cache_copy, None)
    assert check.state == "bad" and str(path) in check.detail


def test_what_is_no_cache_and_no_checkpoint_is_bad(tmp_path):
    (tmp_path / "x").write_bytes(b"nothing of ours")
    assert doctor.cached(tmp_path / "x", None).state == "bad"
    assert doctor.checkpoint(tmp_path / "x").state == "bad"
    assert doctor.cached(tmp_path / "none", None).state == "bad"


@pytest.mark.parametrize("complete", [True, False])
def test_a_checkpoint_says_whether_it_is_finished(tmp_path, cache, complete):
    model = Model(cache.grid, choose(["piano", "bass"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax")
    resume = {} if complete else {"optimisers": {}, "best": {}, "precision": "float32"}
    path = tmp_path / "c.pt"
    save_checkpoint(path, Checkpoint(model, 2, 7, complete, {}, "cache.h5", "d", "", [], resume))
    check = doctor.checkpoint(path)
    assert check.state == ("good" if complete else "note") and "stage 2, 7 steps, for piano, bass" in check.detail


def test_the_disk_is_measured_and_nothing_is_left(tmp_path):
    room, speed = doctor.disk(tmp_path)
    assert "GiB free" in room.detail and "MiB/s written" in speed.detail
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_is_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "disk_speed", lambda folder: (tmp_path / "none" / "x").write_bytes(b""))
    *_, speed = doctor.disk(tmp_path)
    assert speed.state == "bad" and speed.remedy


def test_missing_packages_and_banks_are_told(monkeypatch):
    assert doctor.versions().state == "good" and f"torch {torch.__version__}" in doctor.versions().detail

    def none(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", none)
    assert doctor.versions().state == "bad" and "missing: torch" in doctor.versions().detail

    def refuse(banks: object) -> None:
        raise ScoresepError("there is no such file")

    assert doctor.soundfonts().state == "good"
    monkeypatch.setattr("scoresep.rendering.pools.check_soundfonts", refuse)
    assert doctor.soundfonts().state == "bad" and doctor.soundfonts().remedy


@pytest.mark.integration
def test_the_command_ends_with_1_when_something_is_bad(scoresep, tmp_path, cache_copy):
    ended = scoresep(f"scoresep doctor --cache {cache_copy}")
    assert ended.returncode == 0, ended.stderr
    assert "checksums of" in ended.stdout and "GPU" in ended.stdout
    Cache(cache_copy).shard_path(0).unlink()
    ended = scoresep(f"scoresep doctor --cache {cache_copy}")
    assert ended.returncode == 1 and "bad" in ended.stdout and "Traceback" not in ended.stderr
