"""Configs: losses and their weights, what has no meaning."""

from __future__ import annotations

import sys

import pytest

from scoresep.errors import AlreadyExists, InvalidValue, Unavailable
from scoresep.losses.table import LOSSES, Loss
from scoresep.models.model import Model
from scoresep.models.networks import NETWORKS
from scoresep.training.config import Config, StageConfig
from scoresep.training.config_files import load_config
from scoresep.training.stages import SUPERVISIONS


def test_all_faults_of_a_config_are_reported_together(tmp_path, refused):
    """Unknown keys, wrong types and values out of range, with the file, the keys and the nearest names."""
    (tmp_path / "mine.toml").write_text('mask = "softmx"\nsed = 1\n[data]\nbatch_size = 0\nworkers = 1.5\n')
    with refused(InvalidValue, tmp_path / "mine.toml") as fault:
        load_config(str(tmp_path / "mine.toml"), ["gradient_clip=-1", "stage2.separator.clip_mixtur=1"])
    keys = ("mask", "sed", "data.batch_size", "data.workers", "gradient_clip", "stage2.separator.clip_mixtur")
    nearest = ("softmax", "seed", "clip_mixture")
    assert all(name in str(fault.value) for name in (*keys, *nearest))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_loss_of_the_table_has_a_weight(number):
    assert Config().stages[number].weights.keys() == LOSSES.keys()
    for network, weights in Config().stages[number].weights.items():
        assert list(weights) == list(LOSSES[network])


def test_a_loss_that_is_not_in_the_table_is_refused(refused):
    with refused(InvalidValue, remedy=False) as fault:
        StageConfig(separator={"clip_mixtur": 1.0})
    assert all(word in str(fault.value) for word in ("separator", "'clip_mixtur'", "'clip_mixture'"))


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
    onset = {"onset"} if "keys" in SUPERVISIONS[supervision].gives else set()
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
def test_a_loss_without_meaning_is_refused(refused, supervision, loss):
    with refused(InvalidValue) as fault:
        load_config("mini", [f"supervision={supervision}", f"{loss}=0.5"])
    assert loss in fault.value.problem and supervision in fault.value.problem


PLUGIN = """
from scoresep.losses.table import LOSSES, Loss
from scoresep.models.base import Network
from scoresep.models.networks import NETWORKS
from scoresep.models.tcn import TCN, TCNSettings
import dataclasses


@dataclasses.dataclass(frozen=True)
class Mine(TCNSettings):
    pass


LOSSES.register(Loss("loudness", "separator", lambda step: step.separated.mean()))
NETWORKS.register("mine", Network(Mine, TCN.separator, TCN.critics, TCN.inherit))
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A folder of Python modules with one that adds a loss and a network; they are forgotten afterwards."""
    (tmp_path / "my_rows.py").write_text(PLUGIN)
    (tmp_path / "broken_rows.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    LOSSES["separator"].pop("loudness", None)
    NETWORKS.data.pop("mine", None)
    sys.modules.pop("my_rows", None)


def test_a_config_may_name_modules_that_add_rows(plugin, cache, refused):
    text = 'base = "mini"\nplugins = ["my_rows"]\n[separator]\nnetwork = "mine"\nchannels = 8\n'
    (plugin / "mine.toml").write_text(f"{text}[stage2.separator]\nloudness = 0.5\n")
    config = load_config(str(plugin / "mine.toml"))
    assert config.stage2.separator["loudness"] == 0.5 and config.plugins == ["my_rows"]
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask)
    assert config.architecture.to_dict()["separator"]["network"] == "mine" and model.separator is not None
    with refused(AlreadyExists):
        LOSSES.register(Loss("loudness", "separator", lambda step: step.separated.sum()))
    with refused(AlreadyExists):
        NETWORKS.register("tcn", NETWORKS["mine"])


@pytest.mark.parametrize("name", ["broken_rows", "no_such_module"])
def test_a_module_that_cannot_be_imported_is_named(plugin, refused, name):
    with refused(Unavailable, "mini") as fault:
        load_config("mini", [f'plugins=["{name}"]'])
    assert name in fault.value.problem


@pytest.mark.parametrize("settings", [["supervision=stems"], ["supervision=score+teacher", "presence=0.5"]])
def test_mixing_anew_where_it_has_no_meaning_is_refused(settings, refused):
    load_config("taught", ["data.remix=0.5"])
    with refused(InvalidValue) as fault:
        load_config("mini", ["data.remix=0.5", *settings])
    assert "data.remix" in fault.value.problem
