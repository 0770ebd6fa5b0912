"""The demonstration's claims about its songs, and that every step is a command that exists."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from scoresep.cli import app
from scoresep.rendering.patches import patch_pool
from scoresep.rendering.synth import default_soundfont

SCRIPT = Path(__file__).parents[2] / "pipelines" / "demo.py"


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    return module


def option(words: str, name: str) -> str:
    parts = words.split()
    return parts[parts.index(name) + 1]


def test_the_other_songs_are_new_and_their_train_sounds_are_those_of_training(demo):
    first, other = (step.words for step in demo.STEPS if step.words.startswith("render"))
    seeds = [int(option(words, "--seed")) for words in (first, other)]
    groups = option(first, "--groups").split(",")
    assert option(other, "--groups").split(",") == groups and seeds[0] != seeds[1]
    pools = [patch_pool([default_soundfont()], groups, seed) for seed in seeds]
    assert pools[0].held_out == pools[1].held_out and set(groups) <= set(pools[0].held_out)
    assert "--split train" in demo.STEPS[-1].words and "--cache others.h5" in demo.STEPS[-1].words


def test_every_step_is_a_command_with_its_options(demo):
    commands = get_command(app)
    for step in demo.STEPS:
        name, *rest = step.words.format(song="song.flac").split()
        command = commands.commands[name]
        if hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {text for parameter in command.params for text in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known
