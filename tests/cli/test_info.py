"""`scoresep info` as users type it; and what every command says of files that are no checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import replace

import h5py
import pytest
import torch

from scoresep.cache.build import prepare
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.slakh import open_slakh
from scoresep.executor import Engine
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models.checkpoint import load_checkpoint, save_checkpoint


def test_info_tells_caches_and_checkpoints(command, prepared, trained):
    text = command(f"scoresep info {prepared}").out
    assert all(word in text for word in ("1 test", "3 train", "1 validation", "redux", "bass-octave"))
    text = command(f"scoresep info {trained}").out
    assert all(word in text for word in ("2 steps", "complete", "piano, guitar, bass", "16000 Hz"))


@pytest.mark.parametrize("span", ["60", "75-60", "a-b", "-1-5"])
def test_a_span_that_is_none(command, refuses, prepared, span):
    refuses(command(f"scoresep info {prepared} --plot Track00001 --span={span}"), span)


@pytest.mark.integration
def test_a_track_is_drawn_of_a_cache(command, refuses, here, prepared):
    refuses(command("scoresep info --plot Track00001"), "--plot")
    assert command(f"scoresep info {prepared} --plot Track00001 --out a.png").status == 0
    assert (here / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("action", ["train --cache", "evaluate ckpt.pt --cache", "info"])
def test_no_cache(command, refuses, here, trained, action):
    shutil.copy(trained, here / "ckpt.pt")
    refuses(command(f"scoresep {action} none.h5"), "none.h5")


@pytest.mark.parametrize("action", ["evaluate {}", "separate a.wav --ckpt {}", "transcribe a.wav --ckpt {}", "info {}"])
def test_files_that_are_no_checkpoints(command, refuses, here, prepared, trained, action):
    torch.save({"x": 1}, here / "foreign.pt")
    (here / "cut.pt").write_bytes(trained.read_bytes()[:5000])
    (here / "text.pt").write_text("hello")
    with h5py.File(here / "foreign.h5", "w") as file:
        file["x"] = 1
    for name in ("none.pt", "foreign.pt", "cut.pt", "text.pt", "foreign.h5"):
        refuses(command(f"scoresep {action.format(name)}"), name)
    if "info" not in action:
        refuses(command(f"scoresep {action.format(prepared)}"), "cache.h5")


def test_a_checkpoint_whose_cache_is_gone(command, refuses, here, trained):
    save_checkpoint(here / "ckpt.pt", replace(load_checkpoint(trained), cache=str(here / "gone.h5")))
    refuses(command("scoresep evaluate ckpt.pt"), "gone.h5", "--cache")


def test_a_cache_of_other_instruments_or_another_grid(command, refuses, here, trained, corpus):
    prepare(open_slakh(corpus), here / "two.h5", CacheSettings(instruments=choose(["piano", "bass"])), Engine(1))
    prepare(open_slakh(corpus), here / "grid.h5", CacheSettings(Grid(hop=256)), Engine(1))
    refuses(command(f"scoresep evaluate {trained} --cache two.h5"), "two.h5", "piano,bass", remedy=False)
    refuses(command(f"scoresep evaluate {trained} --cache grid.h5"), "grid.h5", "hop 256", remedy=False)
    assert not (here / "metrics.json").exists()
