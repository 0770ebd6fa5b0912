"""`scoresep train` as users type it: what it says of its work, and what it refuses."""

from __future__ import annotations

import h5py
import pytest

from scoresep.cli.train import step_settings
from scoresep.models.checkpoint import load_checkpoint

TINY = (
    "--set network.channels=8 --set network.hidden=16 --set network.blocks=2 --set network.repeats=1 "
    "--set data.clip_frames=32 --set data.batch_size=4"
)


@pytest.mark.integration
def test_train_says_what_it_does_and_what_comes_next(command, prepared):
    ended = command(f"scoresep train --stage 2 --cache {prepared} --steps 2,3,4 --out x.pt {TINY}")
    assert ended.status == 0 and ended.err == ""
    assert "run/stage1.pt is missing" in ended.out and "scoresep evaluate x.pt" in ended.out
    assert (load_checkpoint("run/stage1.pt").steps, load_checkpoint("x.pt").steps) == (2, 3)
    assert "run/stage2.pt is there" in command(f"scoresep train --stage 2 --cache {prepared} --steps 2,3,4 {TINY}").out


def test_configs_may_be_files(command, here, prepared):
    (here / "my.toml").write_text(
        "[network]\nchannels = 8\nhidden = 16\nblocks = 2\nrepeats = 1\n"
        "[data]\nclip_frames = 32\nbatch_size = 4\nworkers = 0\n"
    )
    ended = command(f"scoresep train --stage 1 --config my.toml --steps 1 --cache {prepared}")
    assert ended.status == 0 and "my.toml" in ended.out
    assert load_checkpoint("ckpt.pt").model.architecture.separator.channels == 8


@pytest.mark.parametrize(
    ("steps", "settings"),
    [
        (None, []),
        ("300", ["stage1.steps=300", "stage2.steps=300", "stage3.steps=300"]),
        ("300,200,100", ["stage1.steps=300", "stage2.steps=200", "stage3.steps=100"]),
        (" 1, 0 ,2 ", ["stage1.steps=1", "stage2.steps=0", "stage3.steps=2"]),
    ],
)
def test_forms_of_steps(steps, settings):
    assert step_settings(steps) == settings


def test_places_that_cannot_be_written(command, refuses, here, prepared):
    (here / "file").write_text("")
    (here / "folder").mkdir()
    refuses(command(f"scoresep train --stage 1 --steps 1 --cache {prepared} --run file {TINY}"), "file")
    refuses(command(f"scoresep train --stage 1 --steps 1 --cache {prepared} --out folder {TINY}"), "folder")


def test_files_that_are_no_caches(command, refuses, here, prepared, trained):
    with h5py.File(here / "foreign.h5", "w") as file:
        file["x"] = 1
    (here / "cut.h5").write_bytes(prepared.read_bytes()[:5000])
    shard = prepared.with_name("cache.shards") / "shard-00000.h5"
    for path in ("none.h5", "foreign.h5", "cut.h5", shard, trained):
        refuses(command(f"scoresep train --cache {path}"), str(path))


def test_a_cache_of_another_version(command, refuses, cache_copy):
    with h5py.File(cache_copy, "a") as file:
        file.attrs["version"] = 99
    refuses(command(f"scoresep train --cache {cache_copy}"), "cache.h5", "99", "prepare")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("--config none.toml", ["none.toml", "mini"]),
        ("--config minni", ["'minni'", "'mini'"]),
        ("--config bad.toml", ["bad.toml"]),
        ("--set trunk.channels=8", ["'trunk'", "unknown"]),
        ("--set network.network=[1]", ["[1]", "tcn"]),
        ("--set data.bach=3", ["bach", "batch_size"]),
        ("--set data.batch_size=many", ["batch_size", "many"]),
        ("--set seed", ["seed", "key=value"]),
        ("--set stage1.transcriptor.score=-1", ["stage1"]),
        ("--steps many", ["'many'"]),
        ("--steps 1,2", ["'1,2'"]),
        ("--steps=-5", ["'-5'"]),
        ("--steps 3²", ["'3²'"]),
        ("--minutes nan", ["nan"]),
        ("--device tpu", ["'tpu'"]),
    ],
)
def test_wrong_arguments(command, refuses, here, prepared, arguments, names):
    (here / "bad.toml").write_text("seed = = 3")
    refuses(command(f"scoresep train --cache {prepared} {arguments}"), *names, remedy=False)
    assert not (here / "ckpt.pt").exists() and not (here / "run").exists()


def test_a_run_with_other_settings(command, refuses, prepared):
    assert command(f"scoresep train --stage 1 --steps 1 --cache {prepared} {TINY}").status == 0
    ended = command(f"scoresep train --stage 1 --steps 2 --cache {prepared} {TINY}")
    refuses(ended, "run/stage1.pt", "stage1.steps", "--run", "--force")
