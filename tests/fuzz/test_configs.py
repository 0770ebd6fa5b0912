"""Configs and figures from strangers end in one line, with little memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoresep.errors import ScoresepError
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.track_records import read_part
from scoresep.training.config_files import load_config
from scoresep.training.log import LOG_NAME, read_log

CONFIG = """base = "mini"
seed = 3
weight_decay = 1e-2
[network]
channels = 64
[data]
batch_size = 8
[stage2.separator]
transcription = 20.0
"""
FORGED = {
    "brackets without end": "seed = " + "[" * 100_000,
    "tables without end": f"[{'.'.join(['stage1'] * 3000)}]\nsteps = 1",
    "a number of 6000 digits": "seed = " + "9" * 6000,
    "a number beyond floats": "weight_decay = " + "9" * 400,
    "steps without end": "stage1.learning_rate = -" + "9" * 400,
    "a network of 4 TB": "network.channels = 1000000000\nnetwork.hidden = 1000000000",
    "a context of 2^40 frames": "network.blocks = 40",
    "blocks without end": "network.repeats = 10000000000",
    "clips without end": "data.batch_size = 1000000000",
    "a clip without end": "data.clip_frames = 1000000000",
    "threads without end": "data.workers = 1000000000",
    "validation without end": "data.validation_clips = 1000000000000",
    "itself": 'base = "a.toml"',
    "no name of a file": 'base = "a\\u0000.toml"',
    "another file": 'base = "../../../../../../etc/passwd"',
    "a table for a value": "[seed]\nx = 1",
    "a value for a table": "stage1 = 3",
}


def read(path: Path) -> None:
    try:
        load_config(str(path))
    except ScoresepError as fault:
        assert len(str(fault).splitlines()) == 1 or "TOML" in str(fault)


@pytest.mark.parametrize("case", FORGED)
def test_forged_configs_are_refused(tmp_path, fuzz, case):
    (tmp_path / "a.toml").write_text(FORGED[case])
    with fuzz.limits(case), pytest.raises(ScoresepError):
        load_config(str(tmp_path / "a.toml"))


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 6000, "{a=" * 3000, "\0", "inf", "1" + "_0" * 3000])
def test_forged_assignments_are_refused(fuzz, value):
    with fuzz.limits(value[:9]), pytest.raises(ScoresepError):
        load_config("mini", [f"seed={value}"])


def test_damaged_configs_are_read_or_refused(tmp_path, fuzz):
    path = tmp_path / "a.toml"
    path.write_text(CONFIG)
    assert load_config(str(path)).seed == 3
    for n in range(fuzz.cases):
        path.write_bytes(fuzz.mutant(CONFIG.encode(), fuzz.text, f"config-{n}"))
        with fuzz.limits(f"config-{n}"):
            read(path)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"about": ' * 50_000, "9" * 6000, "{}", "[]", '"x"', "\ufffe", "NaN"])
def test_forged_figures_are_no_result(tmp_path, fuzz, text):
    """A result, a track that was kept, a line of a log: what is none of ours is passed over, or named."""
    path = tmp_path / "m.json"
    path.write_text(text, encoding="utf-8")
    (tmp_path / LOG_NAME).write_text(f'{text}\n{{"kind": "train"}}\n', encoding="utf-8")
    with fuzz.limits(text[:9]):
        assert Evaluation.load(path) is None and read_part(path, "a") is None
        with pytest.raises(ScoresepError, match=r"m\.json: "):
            Evaluation.read(path)
        assert {"kind": "train"} in read_log(tmp_path)
