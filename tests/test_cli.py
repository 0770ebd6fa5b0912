"""The command line as users type it: the whole way, the options, and one line for everything that can go wrong."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch
import typer.core
import typer.main

from scoresep import __version__, cli
from scoresep.cli.train import step_settings
from scoresep.models.checkpoint import load_checkpoint, save_checkpoint

OPTIONS = {
    "": ["--install-completion", "--show-completion", "--version"],
    "render": [
        "--chains",
        "--groups",
        "--impulses",
        "--jobs",
        "--midi",
        "--pack-share",
        "--sample-rate",
        "--seconds",
        "--seed",
        "--songs",
        "--soundfont",
        "--sounds",
        "--weak-packs",
        "OUT",
    ],
    "prepare": [],
    "prepare slakh": [
        "--dedupe",
        "--instruments",
        "--jobs",
        "--out",
        "--part",
        "--scheduler",
        "--score-check",
        "--split-set",
        "--strict",
        "--teacher",
        "--teacher-device",
        "ROOT",
    ],
    "prepare pairs": [
        "--dedupe",
        "--instruments",
        "--jobs",
        "--out",
        "--part",
        "--scheduler",
        "--seed",
        "--splits",
        "--strict",
        "--teacher",
        "--teacher-device",
        "ROOT",
    ],
    "train": [
        "--cache",
        "--device",
        "--force",
        "--minutes",
        "--out",
        "--config",
        "--resident",
        "--run",
        "--set",
        "--stage",
        "--steps",
    ],
    "evaluate": [
        "--bss",
        "--cache",
        "--details",
        "--device",
        "--force",
        "--jobs",
        "--out",
        "--plot",
        "--refine",
        "--references",
        "--split",
        "CKPT",
    ],
    "report": [
        "--audio",
        "--cache",
        "--ckpt",
        "--device",
        "--out",
        "--seconds",
        "--split",
        "--tracks",
        "SOURCE",
    ],
    "separate": [
        "--bits",
        "--ckpt",
        "--device",
        "--force",
        "--format",
        "--instruments",
        "--out",
        "--refine",
        "--score",
        "AUDIO",
    ],
    "transcribe": ["--ckpt", "--device", "--force", "--from", "--out", "--plot", "AUDIO"],
    "doctor": ["--cache", "--ckpt"],
    "info": ["--out", "--plot", "--span", "FILE"],
}
"""Every command with its options and arguments. A change here is a change of what users type: docs and README too."""

TINY = (
    "--set network.channels=8 --set network.hidden=16 --set network.blocks=2 --set network.repeats=1 "
    "--set data.clip_frames=32 --set data.batch_size=4"
)


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working folder, which is the home folder too, without SLAKH_ROOT."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SLAKH_ROOT", raising=False)
    return tmp_path


@pytest.fixture
def command(here, monkeypatch, capfd):
    """A function that runs a line within this process, which saves importing torch for each."""

    def run(line: str) -> Ended:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)  # one core
        capfd.readouterr()
        threads = torch.get_num_threads()
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        finally:
            torch.set_num_threads(threads)
        return Ended(status, *capfd.readouterr())

    return run


def refuses(ended: Ended, *words: str) -> None:
    """The command failed with one line on standard error that says `words`."""
    assert ended.status == 2, ended
    lines = ended.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), ended.err
    assert all(word in lines[0] for word in words), lines[0]
    assert "Traceback" not in ended.out


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory, make) -> Path:
    """A checkpoint of stage 3 on the cache."""
    from scoresep.cache.reader import Cache
    from scoresep.training.log import RunLog
    from scoresep.training.run import Run

    folder = tmp_path_factory.mktemp("trained")
    log = RunLog(folder / "run")
    config = make.config("stage1.steps=2", "stage2.steps=2", "stage3.steps=2")
    Run(Cache(prepared), config, folder / "run", folder / "ckpt.pt", log).train()
    log.close()
    return folder / "ckpt.pt"


# The whole way


def test_three_lines_from_a_corpus_to_figures(scoresep, tmp_path, corpus):
    """As users type them, in one folder, with SLAKH_ROOT set."""
    lines = (
        "scoresep prepare slakh --out cache.h5",
        f"scoresep train --stage 3 --steps 2 {TINY}",
        "scoresep evaluate ckpt.pt",
    )
    for line in lines:
        ended = scoresep(line, SLAKH_ROOT=str(corpus))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ended.stderr == "", ended.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"cache.h5", "cache.shards", "run", "ckpt.pt", "metrics.json"}
    summary = json.loads((tmp_path / "metrics.json").read_text())["summary"]
    for instrument in ("piano", "guitar", "bass"):
        assert {"si_sdr", "si_sdr_improvement"} <= set(summary["separation"][instrument])
        assert {"frame_f1", "note_f1"} <= set(summary["transcription"][instrument])
    found = load_checkpoint(tmp_path / "ckpt.pt")
    assert (found.stage, found.steps, found.complete) == (3, 2, True)


def test_the_module_runs_as_the_script_does(scoresep, tmp_path):
    import subprocess

    ended = subprocess.run([sys.executable, "-m", "scoresep", "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"scoresep {__version__}\n")
    assert scoresep("scoresep --version").stdout == ended.stdout


def test_prepare_says_what_it_made_and_what_it_left_out(command, corpus_copy):
    (corpus_copy / "train" / "Track00002" / "MIDI" / "S00.mid").unlink()
    ended = command(f"scoresep prepare slakh {corpus_copy} --jobs 1")
    assert ended.status == 0 and ended.err == ""
    assert "5 tracks, split set redux" in ended.out
    assert "left out Track00002: stem S00 has audio but no MIDI file" in ended.out
    assert "cache.h5: 1 test, 2 train, 1 validation; 1 left out; 0 of 1 shards were there" in ended.out
    assert "1 of 1 shards were there" in command(f"scoresep prepare slakh {corpus_copy} --jobs 1").out


def test_the_usual_folder_is_found(command, here, corpus):
    (here / "slakh2100_flac_redux").symlink_to(corpus)
    assert command("scoresep prepare slakh --jobs 1").status == 0 and (here / "cache.h5").exists()


def test_names_with_brackets_are_shown_as_they_are(command, here, corpus):
    (here / "slakh [red] :x:").symlink_to(corpus)
    ended = command("scoresep prepare slakh 'slakh [red] :x:' --out 'a [b].h5' --jobs 1")
    assert ended.status == 0 and "slakh [red] :x:: 5 tracks" in ended.out and "a [b].h5: 1 test" in ended.out


def test_train_says_what_it_does_and_what_comes_next(command, prepared):
    ended = command(f"scoresep train --stage 2 --cache {prepared} --steps 2,3,4 --out x.pt {TINY}")
    assert ended.status == 0 and ended.err == ""
    assert "stage 1: run/stage1.pt is missing or not finished, so it is trained first" in ended.out
    assert "x.pt: stage 2; next: scoresep evaluate x.pt" in ended.out
    assert (load_checkpoint("run/stage1.pt").steps, load_checkpoint("x.pt").steps) == (2, 3)
    assert "run/stage2.pt is there" in command(f"scoresep train --stage 2 --cache {prepared} --steps 2,3,4 {TINY}").out


def test_configs_may_be_files(command, here, prepared):
    (here / "my.toml").write_text(
        "[network]\nchannels = 8\nhidden = 16\nblocks = 2\nrepeats = 1\n"
        "[data]\nclip_frames = 32\nbatch = 4\nworkers = 0\n"
    )
    ended = command(f"scoresep train --stage 1 --config my.toml --steps 1 --cache {prepared}")
    assert ended.status == 0 and "config my.toml" in ended.out
    assert load_checkpoint("ckpt.pt").model.architecture.separator.channels == 8


def test_info_tells_caches_and_checkpoints(command, prepared, trained):
    about = command(f"scoresep info {prepared}").out
    assert "5 (1 test, 3 train, 1 validation)" in about and "split set redux" in about and "bass-octave" in about
    about = command(f"scoresep info {trained}").out
    assert "3, 2 steps, complete" in about and "piano, guitar, bass" in about and "16000 Hz" in about


def test_a_stopped_command_says_how_to_go_on(command, corpus, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("scoresep.cache.build.prepare", stop)
    ended = command(f"scoresep prepare slakh {corpus}")
    assert ended.status == 130 and ended.err == "stopped; finished parts are kept, the same command goes on\n"


# The options


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command by what is typed after `scoresep`."""
    found, todo = {}, [("", typer.main.get_command(cli.app))]
    while todo:
        name, group = todo.pop()
        found[name] = group
        todo += [(f"{name} {sub}".strip(), inner) for sub, inner in getattr(group, "commands", {}).items()]
    return found


def spelling(param: typer.core.TyperArgument | typer.core.TyperOption) -> str:
    """How an option is typed; the name of an argument in capitals."""
    return next((option for option in param.opts if option.startswith("--")), (param.name or "").upper())


def test_commands_and_options_are_those_listed_here():
    found = {name: sorted(map(spelling, item.params)) for name, item in commands().items()}
    assert found == {name: sorted(options) for name, options in OPTIONS.items()}


@pytest.mark.parametrize("name", OPTIONS)
def test_help_of_every_command_has_an_example(command, name):
    ended = command(f"scoresep {name} --help")
    assert ended.status == 0 and ended.err == ""
    assert f"Example: scoresep {name}".rstrip() in ended.out
    for option in OPTIONS[name]:
        assert not option.startswith("--") or option in ended.out


@pytest.mark.parametrize("line", ["scoresep --help", "scoresep prepare --help"])
def test_help_of_the_groups_lists_their_commands(command, line):
    ended = command(line)
    names = (
        ("render", "prepare", "train", "evaluate", "report", "separate", "transcribe", "info", "doctor")
        if "prep" not in line
        else ("slakh",)
    )
    assert ended.status == 0 and all(name in ended.out for name in names)


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


# What can go wrong


def test_no_corpus(command):
    refuses(command("scoresep prepare slakh"), "no dataset found", "SLAKH_ROOT", "scoresep render")


def test_a_root_that_is_not_there(command, monkeypatch):
    refuses(command("scoresep prepare slakh nowhere"), "nowhere: ")
    monkeypatch.setenv("SLAKH_ROOT", "gone")
    refuses(command("scoresep prepare slakh"), "SLAKH_ROOT names gone")


def test_a_folder_without_tracks(command, here):
    (here / "empty").mkdir()
    refuses(command("scoresep prepare slakh empty"), "empty: no TrackNNNNN folder")


def test_no_usable_track(command, corpus_copy, here):
    for path in corpus_copy.glob("*/Track*/stems/S00.flac"):
        path.write_bytes(b"")
    refuses(
        command(f"scoresep prepare slakh {corpus_copy} --jobs 1"), "no usable track", "S00.flac is not readable audio"
    )
    assert not (here / "cache.h5").exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("piano,organ", "no usable stem of organ"),
        ("piano,gitar", "did you mean 'guitar'"),
        ("piano,other,other", "two or more different ones"),
        ("nothing.toml", "nothing.toml is not a readable TOML file"),
        ("piano", "two or more"),
        ("", "two or more"),
    ],
)
def test_wrong_instruments(command, corpus, names, words):
    refuses(command(f"scoresep prepare slakh {corpus} --instruments '{names}' --jobs 1"), words)


def test_other_settings_for_a_cache_that_is_there(command, cache_copy, corpus):
    ended = command(f"scoresep prepare slakh {corpus} --out {cache_copy} --jobs 1")
    refuses(ended, "cache.h5: ", "settings.tracks_per_shard is 2, not 8")


def test_a_device_for_the_teacher(command, corpus):
    refuses(command(f"scoresep prepare slakh {corpus} --teacher-device tpu"), "device 'tpu' is not to be had here")
    assert command(f"scoresep prepare slakh {corpus} --teacher-device auto --jobs 1").status == 0


def test_places_that_cannot_be_written(command, corpus, here, prepared):
    (here / "file").write_text("")
    (here / "folder").mkdir()
    refuses(command(f"scoresep prepare slakh {corpus} --out file/cache.h5 --jobs 1"), "cannot write", "file")
    refuses(command(f"scoresep prepare slakh {corpus} --out folder --jobs 1"), "cannot write", "folder")
    refuses(command(f"scoresep train --stage 1 --steps 1 --cache {prepared} --run file {TINY}"), "cannot write", "file")
    ended = command(f"scoresep train --stage 1 --steps 1 --cache {prepared} --out folder {TINY}")
    refuses(ended, "cannot be written", "folder")


def test_a_full_disk(command, corpus, monkeypatch, here):
    import errno

    def full(self, key, value):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(h5py.Dataset, "__setitem__", full)
    refuses(command(f"scoresep prepare slakh {corpus} --jobs 1"), "the disk is full")
    assert not list(here.rglob("*.h5"))


@pytest.mark.parametrize("action", ["train --cache", "evaluate ckpt.pt --cache", "info"])
def test_no_cache(command, here, trained, action):
    shutil.copy(trained, here / "ckpt.pt")
    refuses(command(f"scoresep {action} none.h5"), "none.h5 does not exist")


def test_files_that_are_no_caches(command, here, prepared, trained):
    with h5py.File(here / "foreign.h5", "w") as file:
        file["x"] = 1
    (here / "cut.h5").write_bytes(prepared.read_bytes()[:5000])
    refuses(command("scoresep train --cache foreign.h5"), "foreign.h5: not a scoresep cache")
    refuses(command("scoresep train --cache cut.h5"), "cut.h5: not a readable cache")
    shard = prepared.with_name("cache.shards") / "shard-00000.h5"
    refuses(command(f"scoresep train --cache {shard}"), "shard-00000.h5: one shard of a cache")
    refuses(command(f"scoresep train --cache {trained}"), "ckpt.pt: not a readable cache")
    refuses(command("scoresep info foreign.h5"), "foreign.h5: not a scoresep cache")


def test_a_cache_of_another_version(command, cache_copy):
    with h5py.File(cache_copy, "a") as file:
        file.attrs["version"] = 99
    refuses(command(f"scoresep train --cache {cache_copy}"), "cache.h5: a cache of version 99", "prepare it anew")


@pytest.mark.parametrize("action", ["evaluate {}", "separate a.wav --ckpt {}", "transcribe a.wav --ckpt {}", "info {}"])
def test_files_that_are_no_checkpoints(command, here, prepared, trained, action):
    torch.save({"x": 1}, here / "foreign.pt")
    (here / "cut.pt").write_bytes(trained.read_bytes()[:5000])
    (here / "text.pt").write_text("hello")
    refuses(command("scoresep " + action.format("none.pt")), "none.pt does not exist")
    refuses(command("scoresep " + action.format("foreign.pt")), "foreign.pt: PyTorch file")
    refuses(command("scoresep " + action.format("cut.pt")), "cut.pt: damaged checkpoint")
    refuses(command("scoresep " + action.format("text.pt")), "text.pt")
    if "info" not in action:
        refuses(command(f"scoresep {action.format(prepared)}"), "cache.h5: not a checkpoint")


def test_a_checkpoint_whose_cache_is_gone(command, here, trained):
    save_checkpoint(here / "ckpt.pt", replace(load_checkpoint(trained), cache=str(here / "gone.h5")))
    refuses(command("scoresep evaluate ckpt.pt"), "gone.h5", "name one with --cache")


def test_a_cache_of_other_instruments_or_another_grid(command, here, trained, corpus):
    from scoresep.cache.build import prepare
    from scoresep.cache.schema import CacheSettings
    from scoresep.datasets.slakh import open_slakh
    from scoresep.executor import Engine
    from scoresep.grid import Grid
    from scoresep.instruments import choose

    prepare(open_slakh(corpus), here / "two.h5", CacheSettings(instruments=choose(["piano", "bass"])), Engine(1))
    prepare(open_slakh(corpus), here / "grid.h5", CacheSettings(Grid(hop=256)), Engine(1))
    refuses(command(f"scoresep evaluate {trained} --cache two.h5"), "two.h5: the instruments piano,bass")
    refuses(command(f"scoresep evaluate {trained} --cache grid.h5"), "grid.h5: the grid", "hop=256")
    assert not (here / "metrics.json").exists()


def test_a_cache_without_a_training_split(command, corpus_copy):
    shutil.rmtree(corpus_copy / "train")
    assert command(f"scoresep prepare slakh {corpus_copy} --jobs 1").status == 0
    refuses(command("scoresep train"), "cache.h5: no track in its train split")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--config none.toml", ["none.toml does not exist", "mini, paper, taught"]),
        ("--config minni", ["unknown config 'minni'; did you mean 'mini'"]),
        ("--config bad.toml", ["bad.toml: not valid TOML"]),
        ("--set network.network=[1]", ["unknown network '[1]'", "tcn"]),
        ("--set data.batchsize=3", ["unknown setting 'data.batchsize'; did you mean 'batch_size'"]),
        ("--set data.batch_size=many", ["data.batch_size must be of type int, not 'many'"]),
        ("--set seed", ["--set 'seed' is not of the form key=value"]),
        ("--set stage1.transcriptor.score=-1", ["stage1.transcriptor.score is -1.0"]),
        ("--steps many", ["--steps 'many' is neither a number nor three by comma"]),
        ("--steps 1,2", ["--steps '1,2' is neither"]),
        ("--steps=-5", ["--steps '-5' is neither"]),
        ("--steps 3²", ["--steps '3²' is neither"]),
        ("--device tpu", ["device 'tpu' is not to be had here"]),
    ],
)
def test_wrong_arguments_of_train(command, here, prepared, arguments, words):
    (here / "bad.toml").write_text("seed = = 3")
    refuses(command(f"scoresep train --cache {prepared} {arguments}"), *words)
    assert not (here / "ckpt.pt").exists() and not (here / "run").exists()


def test_a_run_with_other_settings(command, prepared):
    assert command(f"scoresep train --stage 1 --steps 1 --cache {prepared} {TINY}").status == 0
    ended = command(f"scoresep train --stage 1 --steps 2 --cache {prepared} {TINY}")
    refuses(ended, "run/stage1.pt was trained with other settings: stage1.steps is 1, not 2", "--run", "--force")


@pytest.mark.parametrize("verb", ["separate", "transcribe"])
def test_audio_that_cannot_be_read(command, here, trained, verb):
    (here / "text.wav").write_text("hello")
    refuses(command(f"scoresep {verb} none.wav --ckpt {trained}"), "none.wav")
    refuses(command(f"scoresep {verb} text.wav --ckpt {trained}"), "text.wav")


@pytest.fixture
def music(here) -> Path:
    """A folder of three songs in it and below it, and one file that is no audio; returns it."""
    folder = here / "music"
    (folder / "album").mkdir(parents=True)
    samples = np.random.default_rng(0).normal(0, 0.1, (4000, 2))
    for name in ("one.wav", "two.mp3", "album/three.flac", "album/.hidden.wav"):
        soundfile.write(folder / name, samples, 16000)
    (folder / "broken.ogg").write_text("hello")
    (folder / "cover.txt").write_text("not meant")
    return folder


def test_a_folder_of_songs_of_which_one_fails(command, here, music, trained):
    for verb, result in (("transcribe", "{}.mid"), ("separate", "{}/piano.wav")):
        ended = command(f"scoresep {verb} music --out music/{verb} --ckpt {trained}")
        assert ended.status == 2
        assert [line[:6] for line in ended.err.splitlines()] == ["error:"] and "broken.ogg" in ended.err
        assert "3 of 4 files are done" in ended.out
        for name in ("one", "two", "album/three"):
            assert (music / verb / result.format(name)).is_file()


@pytest.mark.parametrize("verb", ["transcribe", "separate"])
def test_audio_of_a_folder_that_is_not_read_is_named_and_the_rest_done(command, here, music, trained, verb):
    (music / "broken.ogg").rename(music / "song.m4a")
    ended = command(f"scoresep {verb} music --out out --ckpt {trained}")
    assert ended.status == 0 and len(list((here / "out").rglob("*.*"))) >= 3
    (line,) = ended.err.splitlines()
    assert line.startswith("1 file") and "song.m4a" in line and "ffmpeg" in line


@pytest.mark.parametrize(("verb", "result"), [("transcribe", "one.mid"), ("separate", "one/bass.wav")])
def test_a_folder_goes_on_where_it_was_stopped(command, here, music, trained, verb, result):
    """What is done is passed over, unless a file is named alone; what is half done is not."""
    line = f"scoresep {verb} music --out out --ckpt {trained}"
    (music / "broken.ogg").unlink()
    assert command(line).status == 0
    made = {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*.*")}
    (here / "out" / result).unlink()
    for half in (here / "out" / "one").glob("*.wav"):
        half.unlink()
    again = command(line)
    assert again.status == 0 and "2 of 3 files were done already; --force makes them anew" in again.out
    now = {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*.*")}
    assert now.keys() == made.keys()
    assert {path.name for path in made if now[path] != made[path]} >= {Path(result).name}
    assert all(now[path] == made[path] for path in made if "two" in str(path) or "album" in str(path))
    done = command(line)
    assert done.status == 0 and "3 of 3 files were done already" in done.out and "error" not in done.err
    refuses(command(f"scoresep {verb} music/one.wav --out out --ckpt {trained}"), "exists already; --force")
    assert command(f"{line} --force").status == 0
    assert all(path.stat().st_mtime_ns != made[path] for path in made if "two" in str(path))


def test_brackets_in_the_name_of_a_song_are_no_markup(command, here, music, trained):
    shutil.rmtree(music / "album")
    (music / "a[").mkdir()
    (music / "two.mp3").rename(music / "a[/b]two.mp3")
    (music / "broken.ogg").unlink()
    ended = command(f"scoresep transcribe music --out out --ckpt {trained}")
    assert ended.status == 0 and "a[/b]two.mid" in ended.out and "transcribing a[/b]two" in ended.out + ended.err


def test_a_song_that_is_half_done_is_refused(command, here, music, trained):
    """Stems of it may be of another run, with other --instruments; nothing is replaced without --force."""
    line = f"scoresep separate music --out out --ckpt {trained}"
    (music / "broken.ogg").unlink()
    assert command(line).status == 0
    (here / "out/one/bass.wav").unlink()
    ended = command(line)
    assert ended.status == 2 and "2 of 3 files were done already" in ended.out
    assert ended.err.count("exists already; --force") == 1


def test_separate_with_all_it_can_do(command, here, music, trained, make):
    make.midi(here / "scores" / "one.mid", [(0.0, 0.2, 60)], program=33)
    line = f"scoresep separate music/one.wav --ckpt {trained} --instruments bass --format flac --bits 16"
    ended = command(f"{line} --score scores --device cpu --out a")
    assert ended.status == 0 and ended.err == ""
    assert "measuring one" in ended.out and "separating one" in ended.out and "writing one" in ended.out
    assert "the score of one has no part of piano, guitar: those are left to the model" in ended.out
    assert sorted(path.name for path in (here / "a" / "one").iterdir()) == ["bass.flac", "residual.flac"]
    assert soundfile.info(here / "a" / "one" / "bass.flac").subtype == "PCM_16"
    assert command(f"{line} --score scores/one.mid --out b").status == 0
    blind = command(f"{line} --out c")
    assert blind.status == 0
    assert command(f"{line} --refine --out d").status == 0
    stems = {name: soundfile.read(here / name / "one" / "bass.flac")[0] for name in "abcd"}
    assert (stems["a"] == stems["b"]).all() and (stems["a"] != stems["c"]).any() and (stems["d"] != stems["c"]).any()


def test_separate_says_that_it_made_all_stems_softer(command, here, trained):
    soundfile.write(here / "loud.wav", np.random.default_rng(0).normal(0, 2, 8000), 16000, subtype="FLOAT")
    ended = command(f"scoresep separate loud.wav --ckpt {trained} --format flac")
    assert ended.status == 0 and "all stems of loud have a gain of -" in ended.out


def test_transcribe_with_all_it_can_do(command, here, music, trained):
    ended = command(f"scoresep transcribe music/one.wav --ckpt {trained} --from separated --plot --out a")
    assert ended.status == 0 and ended.err == "" and "transcribing one" in ended.out
    assert (here / "a" / "one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("separate one.wav --instruments pinao", ["instrument 'pinao'; did you mean 'piano'"]),
        ("separate one.wav --format wave", ["unknown format 'wave'; did you mean 'wav'"]),
        ("separate one.wav --format flac --bits float", ["flac has no samples of 'float' bits; choose 24 or 16"]),
        ("separate one.wav --score none.mid", ["none.mid"]),
        ("separate one.wav --score .", ["has no one.mid, the score of one.wav"]),
        ("separate one.wav two.mp3 --score one.mid", ["one.mid: the score of one of 2 files"]),
        ("separate empty", ["empty holds no audio"]),
        ("transcribe one.wav --from stems", ["unknown --from 'stems'; known: mixture, separated"]),
        ("transcribe one.wav --device tpu", ["device 'tpu' is not to be had here"]),
    ],
)
def test_wrong_arguments_of_separate_and_transcribe(command, music, trained, monkeypatch, arguments, words):
    monkeypatch.chdir(music)
    (music / "empty").mkdir()
    refuses(command(f"scoresep {arguments} --ckpt {trained}"), *words)
    assert not (music / "stems").exists() and not (music / "scores").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- 1", "metadata.yaml is unreadable"),
        ("&a [*a]", "metadata.yaml is unreadable"),
        ("stems: {1: null}", "no stem has audio"),
        ("stems: {}", "no stem has audio"),
    ],
)
def test_odd_metadata_is_a_reason_and_no_crash(command, corpus_copy, text, reason):
    (corpus_copy / "train" / "Track00001" / "metadata.yaml").write_text(text)
    ended = command(f"scoresep prepare slakh {corpus_copy} --jobs 1")
    assert ended.status == 0 and f"left out Track00001: {reason}" in ended.out


@pytest.mark.parametrize("line", ["scoresep", "scoresep prepare", "scoresep nonsense", "scoresep train --stage 4"])
def test_lines_that_make_no_sense_end_with_status_2_and_no_traceback(command, line):
    ended = command(line)
    assert ended.status == 2 and "Traceback" not in ended.out + ended.err
