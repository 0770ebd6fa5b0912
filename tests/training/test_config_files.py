"""Configs: shipped ones, files, settings of the command line, faults."""

from __future__ import annotations

import dataclasses

import pytest

from scoresep.errors import InvalidValue, NotFound, WrongFormat
from scoresep.training.config import Config
from scoresep.training.config_files import load_config, shipped_configs


def test_shipped_configs_can_be_loaded():
    assert shipped_configs() == ["mini", "paper", "taught"]
    assert load_config("paper") == Config()
    mini, full = load_config("mini"), Config()
    assert mini != full and mini.data.workers == 0
    assert all(mini.stages[number].steps < full.stages[number].steps for number in (1, 2, 3))


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    (tmp_path / "r.toml").write_text("seed = 7\n[stage2.separator]\nharmonic_mixture = 2\n")
    config = load_config(str(tmp_path / "r.toml"))
    separator = {**Config().stage2.separator, "harmonic_mixture": 2.0}
    assert config == dataclasses.replace(
        Config(), seed=7, stage2=dataclasses.replace(Config().stage2, separator=separator)
    )
    assert isinstance(config.stage2.separator["harmonic_mixture"], float)


@pytest.mark.parametrize(
    ("assignment", "read", "value"),
    [
        ("data.batch_size=5", lambda r: r.data.batch_size, 5),
        (" data.batch_size = 5", lambda r: r.data.batch_size, 5),
        ("stage1.learning_rate=1", lambda r: r.stage1.learning_rate, 1.0),
        ("stage3.separator.adversarial_mixture=0", lambda r: r.stage3.separator["adversarial_mixture"], 0.0),
        ("share_trunk=false", lambda r: r.share_trunk, False),
        ("mask=sigmoid", lambda r: r.mask, "sigmoid"),
        ('mask="sigmoid"', lambda r: r.mask, "sigmoid"),
        ("stage1.keep=last", lambda r: r.stage1.keep, "last"),
    ],
)
def test_settings_of_the_command_line(assignment, read, value):
    assert read(load_config("mini", [assignment])) == value


def test_the_last_setting_wins():
    assert load_config("mini", ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("sed=1", ["'sed'", "did you mean 'seed'"]),
        ("data.batchsize=1", ["'data.batchsize'", "did you mean 'batch_size'"]),
        ("stage2.separator.harmonic=1", ["'stage2.separator.harmonic'", "harmonic_mixture"]),
        ("network.chanels=1", ["chanels", "did you mean 'channels'"]),
        ("seed", ["'seed'", "key=value"]),
        ("=3", ["'=3'", "key=value"]),
        ("seed=yes", ["seed", "int", "'yes'"]),
        ("seed=1.5", ["seed", "int", "1.5"]),
        ("seed=true", ["seed", "int", "True"]),
        ("share_trunk=1", ["share_trunk", "bool"]),
        ("stage1.learning_rate=true", ["stage1.learning_rate", "float", "True"]),
        ("stage1.learning_rate=fast", ["stage1.learning_rate", "float", "'fast'"]),
        ("plugins=3", ["plugins", "3"]),
        ("data=3", ["data is a table"]),
        ("network=3", ["network is a table"]),
        ("separator.network=tcm", ["separator", "did you mean 'tcn'"]),
        ("seed.x=3", ["seed", "int"]),
        ("stage2.separator.clip_mixture=-1", ["stage2.separator.clip_mixture is -1"]),
        ("stage2.separator.clip_mixture=nan", ["stage2.separator.clip_mixture", "finite"]),
        ("stage2.separator.clip_mixture=inf", ["stage2.separator.clip_mixture", "finite"]),
        ("stage1.learning_rate=nan", ["stage1.learning_rate", "finite"]),
        ("stage1.learning_rate=0", ["stage1.learning_rate is 0.0"]),
        ("stage1.steps=-1", ["stage1.steps is -1"]),
        ("stage1.keep=first", ["stage1.keep 'first'", "last, best"]),
        ("mask=softmx", ["mask 'softmx'", "did you mean 'softmax'"]),
        ("precision=float23", ["precision 'float23'", "did you mean 'float32'"]),
        ("data.batch_size=0", ["data.batch_size is 0"]),
        ("network.channels=0", ["transcriptor", "separator", "channels"]),
        ("gradient_clip=0", ["gradient_clip is 0.0"]),
        ("weight_decay=-1", ["weight_decay is -1"]),
        ("seed=-1", ["seed is -1"]),
        ("supervision=stem", ["supervision 'stem'", "did you mean 'stems'"]),
        ("supervision=3", ["supervision", "str", "3"]),
        ("stems_fraction=1", ["stems_fraction is 1.0", "between 0 and 1"]),
        ("stage2.separator.stem=1", ["stage2.separator.stem", "'score'"]),
        ("seed=1000000000000000000000", ["seed is 1000000000000000000000"]),
    ],
)
def test_faults_are_refused_with_their_key(refused, assignment, words):
    with refused(InvalidValue) as fault:
        load_config("mini", [assignment])
    assert all(word in str(fault.value) for word in words), str(fault.value)


def test_a_setting_below_a_value_of_the_file_is_refused(refused):
    with refused(InvalidValue, remedy=False) as fault:
        load_config("mini", ["validate_every.x=3"])
    assert "'validate_every'" in fault.value.problem


@pytest.mark.parametrize(
    ("content", "kind", "word"),
    [
        (b"seed = ", WrongFormat, "TOML"),
        (b"seed = 1\nseed = 2", WrongFormat, "TOML"),
        (b"# caf\xe9\nseed = 1", WrongFormat, "TOML"),
        (b"[data]\nbatchs = 3", InvalidValue, "data.batchs"),
        (b"data = 3", InvalidValue, "data"),
        (b"seed = '3'", InvalidValue, "seed"),
    ],
)
def test_bad_files_are_refused(tmp_path, refused, content, kind, word):
    (tmp_path / "r.toml").write_bytes(content)
    with refused(kind, tmp_path / "r.toml") as fault:
        load_config(str(tmp_path / "r.toml"))
    assert word in str(fault.value)


def test_missing_and_unknown_configs_are_refused(tmp_path, refused):
    with refused(NotFound, tmp_path / "none.toml") as fault:
        load_config(str(tmp_path / "none.toml"))
    assert all(name in fault.value.remedy for name in shipped_configs())
    with refused(NotFound) as fault:
        load_config("minni")
    assert "'minni'" in fault.value.problem and "'mini'" in str(fault.value)


def test_a_config_changes_its_base(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "base.toml").write_text('base = "mini"\n[stage2]\nsteps = 7\n[stage2.separator]\nclip_mixture = 3\n')
    (tmp_path / "rows" / "row.toml").write_text(
        'base = "../base.toml"\n[stage2.separator]\nstem = 0\nharmonic_mixture = 0\n'
    )
    config = load_config(str(tmp_path / "rows" / "row.toml"), ["data.batch_size=5"])
    assert (config.stage2.steps, config.data.batch_size, config.architecture) == (
        7,
        5,
        load_config("mini").architecture,
    )
    assert (config.stage2.separator["clip_mixture"], config.stage2.separator["harmonic_mixture"]) == (3.0, 0.0)


@pytest.mark.parametrize(
    ("base", "kind", "word"),
    [
        ('"gone.toml"', NotFound, "gone.toml"),
        ("3", InvalidValue, "3"),
        ('"mni"', NotFound, "'mini'"),
        ('"r.toml"', InvalidValue, "r.toml"),
    ],
)
def test_a_base_that_is_none_is_refused(tmp_path, refused, base, kind, word):
    (tmp_path / "r.toml").write_text(f"base = {base}\n")
    with refused(kind) as fault:
        load_config(str(tmp_path / "r.toml"))
    assert word in str(fault.value)
