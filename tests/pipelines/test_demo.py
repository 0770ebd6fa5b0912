"""The demonstration's claims about its songs, and that every step is a command that exists."""

from __future__ import annotations

import pytest

from scoresep.rendering.pools import preset_pool
from scoresep.rendering.sources.soundfont import default_soundfont


@pytest.fixture(scope="module")
def demo(pipeline):
    return pipeline("demo.py")


def option(words: str, name: str) -> str:
    parts = words.split()
    return parts[parts.index(name) + 1]


def test_the_other_songs_are_new_and_their_train_sounds_are_those_of_training(demo):
    first, other = (step.words for step in demo.STEPS if step.words.startswith("render"))
    seeds = [int(option(words, "--seed")) for words in (first, other)]
    groups = option(first, "--groups").split(",")
    assert option(other, "--groups").split(",") == groups and seeds[0] != seeds[1]
    pools = [preset_pool([default_soundfont()], groups, seed) for seed in seeds]
    assert pools[0].held_out == pools[1].held_out and set(groups) <= set(pools[0].held_out)
    assert "--split train" in demo.STEPS[-1].words and "--cache others.h5" in demo.STEPS[-1].words


def test_every_step_is_a_command_with_its_options(demo, unknown_options):
    assert not set().union(*(unknown_options(step.words) for step in demo.STEPS))
