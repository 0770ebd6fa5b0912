"""Configs: shipped ones, files, settings of the command line, faults."""

from __future__ import annotations

import dataclasses

import pytest

from scoresep.errors import ScoresepError
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
    ("assignment", "message"),
    [
        ("sed=1", "unknown setting 'sed'; did you mean 'seed'"),
        ("data.batchsize=1", r"unknown setting 'data\.batchsize'; did you mean 'batch_size'"),
        ("stage2.separator.harmonic=1", r"unknown setting 'stage2\.separator\.harmonic'"),
        ("seed", "'seed' is not of the form key=value"),
        ("=3", "'=3' is not of the form key=value"),
        ("seed=yes", "setting 'seed' must be of type int, not 'yes'"),
        ("seed=1.5", "setting 'seed' must be of type int, not 1.5"),
        ("seed=true", "setting 'seed' must be of type int, not True"),
        ("share_trunk=1", "setting 'share_trunk' must be of type bool, not 1"),
        ("stage1.learning_rate=true", "must be of type float, not True"),
        ("stage1.learning_rate=fast", r"'stage1\.learning_rate' must be of type float, not 'fast'"),
        ("data=3", "setting 'data' is a table, not 3"),
        ("seed.x=3", r"unknown setting|must be of type int"),
        ("stage2.separator.clip_mixture=-1", "stage2 has a negative loss weight"),
        ("stage2.separator.clip_mixture=nan", "clip_mixture"),
        ("stage2.separator.clip_mixture=inf", "clip_mixture"),
        ("stage1.learning_rate=nan", "learning_rate"),
        ("stage1.learning_rate=0", "stage1 needs steps >= 0 and learning_rate > 0"),
        ("stage1.steps=-1", "stage1 needs steps >= 0"),
        ("stage1.keep=first", r"stage1\.keep is 'first'"),
        ("mask=softmx", "mask 'softmx' is unknown; did you mean 'softmax'"),
        ("data.batch_size=0", "batch_size is 0, too small"),
        ("network.channels=0", "channels is 0, too small"),
        ("gradient_clip=0", "gradient_clip must be positive"),
        ("weight_decay=-1", "weight_decay"),
        ("seed=-1", "seed"),
        ("supervision=stem", "supervision 'stem' is unknown; did you mean 'stems'"),
        ("supervision=3", "'supervision' must be of type str, not 3"),
        ("stems_fraction=1", "stems_fraction is 1.0, not between 0 and 1"),
        ("stage2.separator.stem=1", r"stage2\.separator\.stem has no meaning with supervision 'score', set it to 0"),
        ("seed=1000000000000000000000", "seed"),
    ],
)
def test_faults_are_refused_in_one_line(assignment, message):
    with pytest.raises(ScoresepError, match=message) as fault:
        load_config("mini", [assignment])
    assert "\n" not in str(fault.value)


def test_a_setting_below_a_value_of_the_file_is_refused():
    with pytest.raises(ScoresepError, match="'validate_every' is a value, not a table"):
        load_config("mini", ["validate_every.x=3"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = ", r"r\.toml is not valid TOML"),
        (b"seed = 1\nseed = 2", r"r\.toml is not valid TOML"),
        (b"# caf\xe9\nseed = 1", r"r\.toml is not valid TOML"),
        (b"[data]\nbatchs = 3", r"unknown setting 'data\.batchs'; did you mean 'batch_size'"),
        (b"data = 3", "setting 'data' is a table"),
        (b"seed = '3'", "must be of type int, not '3'"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, message):
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(ScoresepError, match=message):
        load_config(str(tmp_path / "r.toml"))


def test_missing_and_unknown_configs_are_refused(tmp_path):
    with pytest.raises(
        ScoresepError, match=r"config .*none\.toml does not exist; or use a shipped one: mini, paper, taught"
    ):
        load_config(str(tmp_path / "none.toml"))
    with pytest.raises(ScoresepError, match="unknown config 'minni'; did you mean 'mini'"):
        load_config("minni")


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
    ("base", "message"),
    [
        ('"gone.toml"', r"config .*gone\.toml does not exist"),
        ("3", "base = 3 is not the name of another config"),
        ('"mni"', "unknown config 'mni'; did you mean 'mini'"),
        ('"r.toml"', r"base = 'r\.toml' is not the name of another config"),
    ],
)
def test_a_base_that_is_none_is_refused(tmp_path, base, message):
    (tmp_path / "r.toml").write_text(f"base = {base}\n")
    with pytest.raises(ScoresepError, match=message):
        load_config(str(tmp_path / "r.toml"))
