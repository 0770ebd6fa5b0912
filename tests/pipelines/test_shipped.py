"""How the shipped model is made: corpora joined, steps that are commands, a small checkpoint that keeps no folder."""

from __future__ import annotations

import pytest

from scoresep.datasets.slakh import open_slakh
from scoresep.models.checkpoint import load_checkpoint
from scoresep.training.config_files import load_config


@pytest.fixture(scope="module")
def shipped(pipeline):
    return pipeline("shipped/run.py")


def test_joined_corpora_are_one_with_all_tracks_in_their_splits(shipped, corpus, tmp_path):
    out = tmp_path / "both"
    alone = open_slakh(corpus)
    assert shipped.join([corpus, corpus], out) == 2 * len(alone.tracks)
    assert shipped.join([corpus, corpus], out) == 2 * len(alone.tracks), "done again, nothing changes"
    both = open_slakh(out)
    for split in ("train", "validation", "test"):
        counts = [sum(track.split == split for track in found.tracks) for found in (alone, both)]
        assert counts[1] == 2 * counts[0] > 0


def test_every_step_is_a_command_with_its_options(shipped, unknown_options):
    assert not set().union(
        *(unknown_options(step.words) for step in (*shipped.CORPORA, *shipped.MODEL, *shipped.JUDGEMENT))
    )


def test_its_config_learns_from_scores_alone(shipped):
    config = load_config(str(shipped.HERE / "config.toml"), [])
    assert config.supervision == "score+teacher" and not config.stage2.separator["stem"]


def test_a_shrunk_checkpoint_keeps_the_model_and_no_folder(shipped, make, cache, tmp_path):
    source = make.checkpoint(tmp_path / "ckpt.pt", cache)
    shipped.shrink(source, tmp_path / "small.pt")
    found, whole = load_checkpoint(tmp_path / "small.pt"), load_checkpoint(source)
    assert (found.cache, found.history, found.resume) == ("", [], {})
    assert found.cache_digest == whole.cache_digest and found.model.names == whole.model.names
    assert (tmp_path / "small.pt").read_bytes().count(str(tmp_path).encode()) == 0
