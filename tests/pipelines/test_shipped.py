"""How the shipped model is made: corpora joined, steps that are commands, a small checkpoint that keeps no folder."""

from __future__ import annotations

import pytest
import torch

from scoresep.datasets.slakh import open_slakh
from scoresep.models.checkpoint import load_checkpoint, save_checkpoint
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


def test_the_average_of_checkpoints_keeps_the_model_and_no_folder(shipped, make, cache, tmp_path):
    sources = [make.checkpoint(tmp_path / f"{n}.pt", cache, seed=n) for n in range(3)]
    mean, models = shipped.averaged(sources), [load_checkpoint(path).model for path in sources]
    for name, network in mean.model.networks.items():
        states = [model.networks[name].state_dict() for model in models]
        for key, value in network.state_dict().items():
            expected = torch.stack([state[key].double() for state in states]).mean(0)
            assert value.dtype == states[0][key].dtype and torch.allclose(value.double(), expected, atol=1e-6)
    save_checkpoint(tmp_path / "small.pt", mean, small=True)
    found, last = load_checkpoint(tmp_path / "small.pt"), load_checkpoint(sources[-1])
    assert (found.cache, found.history, found.resume) == ("", [], {})
    assert found.cache_digest == last.cache_digest and found.model.names == last.model.names
    assert (tmp_path / "small.pt").read_bytes().count(str(tmp_path).encode()) == 0
