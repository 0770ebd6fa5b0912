"""The command line as a whole: its commands and options, their help, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
import typer.core
import typer.main

from scoresep import __version__, cli
from scoresep.cli.options import Resident, Signal, Sound, StemBits, StemFormat
from scoresep.reporting.media import AUDIO_FORMATS
from scoresep.separation.writing import SUBTYPES
from scoresep.training.loader import RESIDENT
from scoresep.transcription.transcribe import SIGNALS

OPTIONS = {
    "": ["--install-completion", "--show-completion", "--version"],
    "render": [
        "--bands",
        "--chains",
        "--charts",
        "--grooves",
        "--groups",
        "--impulses",
        "--jobs",
        "--levels",
        "--midi",
        "--pack-share",
        "--preview",
        "--sample-rate",
        "--seconds",
        "--seed",
        "--songs",
        "--soundfont",
        "--sounds",
        "--voices",
        "--weak-packs",
        "OUT",
    ],
    "prepare": [],
    "align": ["--force", "--out", "--plot", "AUDIO", "SCORE"],
    "prepare slakh": [
        "--dedupe",
        "--hop",
        "--instruments",
        "--jobs",
        "--out",
        "--part",
        "--rate",
        "--scheduler",
        "--score-check",
        "--split-set",
        "--strict",
        "--teacher",
        "--teacher-device",
        "--unwritten",
        "--window",
        "ROOT",
    ],
    "prepare pairs": [
        "--align",
        "--dedupe",
        "--hop",
        "--instruments",
        "--jobs",
        "--out",
        "--part",
        "--rate",
        "--scheduler",
        "--seed",
        "--splits",
        "--strict",
        "--teacher",
        "--teacher-device",
        "--unwritten",
        "--window",
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
        "--start",
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
        "--align",
        "--bits",
        "--ckpt",
        "--device",
        "--force",
        "--format",
        "--instruments",
        "--long-window",
        "--out",
        "--page",
        "--present",
        "--refine",
        "--score",
        "--score-weight",
        "AUDIO",
    ],
    "studio": ["--browser", "--ckpt", "--device", "--port", "--project", "AUDIO"],
    "transcribe": ["--ckpt", "--device", "--force", "--from", "--musicxml", "--out", "--plot", "AUDIO"],
    "export": ["--force", "--onnx", "CKPT"],
    "doctor": ["--cache", "--ckpt"],
    "info": ["--out", "--plot", "--span", "FILE"],
}
"""Every command with its options and arguments. A change here is a change of what users type: docs and README too."""


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command by what is typed after `scoresep`."""
    result, todo = {}, [("", typer.main.get_command(cli.app))]
    while todo:
        name, group = todo.pop()
        result[name] = group
        todo += [(f"{name} {sub}".strip(), inner) for sub, inner in getattr(group, "commands", {}).items()]
    return result


def spelling(param: typer.core.TyperArgument | typer.core.TyperOption) -> str:
    """How an option is typed; the name of an argument in capitals."""
    return next((option for option in param.opts if option.startswith("--")), (param.name or "").upper())


def test_commands_and_options_are_those_listed_here():
    result = {name: sorted(map(spelling, item.params)) for name, item in commands().items()}
    assert result == {name: sorted(options) for name, options in OPTIONS.items()}


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
        (
            "render",
            "align",
            "prepare",
            "train",
            "evaluate",
            "report",
            "separate",
            "transcribe",
            "studio",
            "export",
            "info",
            "doctor",
        )
        if "prep" not in line
        else ("slakh",)
    )
    assert ended.status == 0 and all(name in ended.out for name in names)


def test_choices_are_those_of_the_tables():
    assert get_args(StemFormat) == tuple(SUBTYPES)
    assert set(get_args(StemBits)) == {bits for known in SUBTYPES.values() for bits in known if bits}
    assert get_args(Signal) == SIGNALS
    assert get_args(Sound) == tuple(AUDIO_FORMATS)
    assert ("", *get_args(Resident)) == RESIDENT


@pytest.mark.parametrize(
    ("line", "option", "choices"),
    [
        ("separate a.wav --format wave", "--format", ["wav", "flac", "ogg", "mp3"]),
        ("separate a.wav --bits 32", "--bits", ["float", "16", "24"]),
        ("transcribe a.wav --from stems", "--from", ["mixture", "separated", "refined"]),
        ("train --resident disk", "--resident", ["host", "device"]),
        ("train --stage 4", "--stage", []),
    ],
)
def test_what_is_no_choice_is_rejected(command, rejects, line, option, choices):
    rejects(command(f"scoresep {line}"), option, *choices)


def test_the_module_runs_as_the_script_does(scoresep, tmp_path):
    ended = subprocess.run([sys.executable, "-m", "scoresep", "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"scoresep {__version__}\n")
    assert scoresep("scoresep --version").stdout == ended.stdout


def test_a_stopped_command_says_how_to_go_on(command, corpus, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("scoresep.cache.build.prepare", stop)
    ended = command(f"scoresep prepare slakh {corpus}")
    assert ended.status == 130 and ended.err.startswith("stopped") and len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("line", ["scoresep", "scoresep prepare", "scoresep nonsense", "scoresep train --stage 4"])
def test_lines_that_make_no_sense_end_with_status_2_and_no_traceback(command, line):
    ended = command(line)
    assert ended.status == 2 and "Traceback" not in ended.out + ended.err
