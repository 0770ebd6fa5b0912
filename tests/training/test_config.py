"""Configs: losses and their weights, what has no meaning."""

from __future__ import annotations

import re

import pytest

from scoresep.errors import ScoresepError
from scoresep.losses.table import LOSSES
from scoresep.training.config import Config, StageConfig
from scoresep.training.config_files import load_config


def test_all_faults_of_a_config_are_reported_together():
    with pytest.raises(ScoresepError, match=r"mask .x. is unknown.*batch_size is 0.*gradient_clip"):
        load_config("mini", ["mask=x", "data.batch_size=0", "gradient_clip=-1"])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_loss_of_the_table_has_a_weight(number):
    assert Config().stages[number].weights.keys() == LOSSES.keys()
    for player, weights in Config().stages[number].weights.items():
        assert list(weights) == list(LOSSES[player])


def test_a_loss_that_is_not_in_the_table_is_refused():
    with pytest.raises(ScoresepError, match=r"separator has no loss 'clip_mixtur'.*clip_mixture"):
        StageConfig(separator={"clip_mixtur": 1.0})


@pytest.mark.parametrize(
    ("supervision", "weights"),
    [
        ("score", {"transcription", "clip_mixture", "harmonic_mixture"}),
        ("class-frame", {"transcription", "clip_mixture", "frame_mixture"}),
        ("class-clip", {"transcription", "clip_mixture"}),
        ("stems", {"stem"}),
        ("semi", {"transcription", "clip_mixture", "harmonic_mixture", "stem"}),
        ("score+teacher", {"transcription", "clip_mixture", "teacher"}),
        ("teacher", {"teacher"}),
    ],
)
def test_a_supervision_brings_its_losses(supervision, weights):
    config = load_config("mini", [f"supervision={supervision}"])
    adversarial = {"adversarial_mixture"} if supervision in ("score", "semi", "score+teacher") else set()
    for stage, more in ((config.stage2, set()), (config.stage3, adversarial)):
        assert {name for name, weight in stage.separator.items() if weight} == weights | more
    onset = set() if supervision.startswith("class") else {"onset"}
    assert {name for name, weight in config.stage1.transcriptor.items() if weight} == {"score"} | onset
    assert not any(config.stage1.separator.values()) and not any(config.stage2.transcriptor.values())
    assert config.data == load_config("mini").data and config.stage2.steps == load_config("mini").stage2.steps


@pytest.mark.parametrize(
    ("supervision", "loss"),
    [
        ("class-frame", "stage2.separator.harmonic_mixture"),
        ("class-frame", "stage1.transcriptor.onset"),
        ("class-clip", "stage2.separator.frame_mixture"),
        ("class-clip", "stage3.transcriptor.adversarial_mixture"),
        ("stems", "stage2.separator.transcription"),
        ("teacher", "stage2.separator.transcription"),
        ("score", "stage2.separator.teacher"),
        ("semi", "stage3.separator.teacher"),
        ("score+teacher", "stage2.separator.stem"),
    ],
)
def test_a_loss_without_meaning_is_refused(supervision, loss):
    with pytest.raises(ScoresepError, match=re.escape(f"{loss} has no meaning with supervision '{supervision}', set")):
        load_config("mini", [f"supervision={supervision}", f"{loss}=0.5"])
