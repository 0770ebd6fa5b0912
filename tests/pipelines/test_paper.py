"""The paper's table with tiny sizes: the real command, what rows share, going on, and the command beside a row."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.models.checkpoint import load_checkpoint
from scoresep.training.config_files import load_config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pipelines" / "paper"
TINY = (
    "network.channels=8",
    "network.hidden=16",
    "network.blocks=2",
    "data.clip_frames=32",
    "data.batch_size=4",
    "data.validation_clips=4",
    "stage1.steps=2",
    "stage2.steps=2",
    "stage3.steps=2",
    "precision=float32",
)


@pytest.fixture
def paper(prepared, tmp_path):
    """A function that runs the pipeline in `tmp_path` and returns how it ended."""

    def go(*words: str) -> subprocess.CompletedProcess[str]:
        sets = [word for setting in TINY for word in ("--set", setting)]
        line = [
            sys.executable,
            str(FOLDER / "run.py"),
            str(prepared),
            "--out",
            "paper",
            "--size",
            "mini",
            *sets,
            *words,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return go


@pytest.mark.integration
def test_rows_and_seeds_become_a_table(paper, tmp_path, prepared):
    ended = paper("--rows", "clip_harmonic", "--seeds", "0")
    assert ended.returncode == 0, ended.stderr
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "paper" / "stages").glob("*/*.pt")}
    assert len((tmp_path / "paper" / "table.csv").read_text().splitlines()) == 1 + 4

    ended = paper("--rows", "clip_harmonic,adversarial_both,class_clip,stems", "--seeds", "0,1")
    assert ended.returncode == 0, ended.stderr
    out = tmp_path / "paper"
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in first.items()), "what is done is not done again"
    stages = sorted(path.name[0] for path in (out / "stages").iterdir())
    assert stages == ["1"] * 4 + ["2"] * 6 + ["3"] * 2, "two critics; three rows and one of stage 3; two seeds"
    with (out / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * 2 * 4 and {line["instrument"] for line in lines} == {"piano", "guitar", "bass", "mean"}
    assert all(
        (line["frame_f1"] == "") == (line["row"] == "class_clip") for line in lines if line["instrument"] == "mean"
    )
    assert (out / "table.png").stat().st_size > 10_000
    table = (out / "table.md").read_text()
    mean = [
        float(line["si_sdr_improvement"]) for line in lines if (line["row"], line["instrument"]) == ("stems", "mean")
    ]
    row = next(line for line in table.splitlines() if line.startswith("| stems | 2 |"))
    assert f"{sum(mean) / 2:.1f} ± {abs(mean[0] - mean[1]) / 2**0.5:.1f} |" in row

    command = next(line for line in table.splitlines() if line.startswith("- stems: ")).split("`")[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = command.replace("SEED", "1").replace("scoresep ", f"{sys.executable} -m scoresep ")
    subprocess.run(command, shell=True, cwd=tmp_path, env=environment, check=True, capture_output=True)
    alone = load_checkpoint(tmp_path / "stems-1.pt").model.separator.state_dict()
    held = [load_checkpoint(path) for path in (out / "stages").glob("2-*/stage2.pt")]
    (shared,) = (c for c in held if (c.config["supervision"], c.config["seed"]) == ("stems", 1))
    assert all(torch.equal(alone[key], value) for key, value in shared.model.separator.state_dict().items())
    assert Cache(prepared).digest == shared.cache_digest


@pytest.mark.integration
def test_other_songs_get_a_table_of_their_own(paper, tmp_path, prepared):
    ended = paper("--rows", "stems,clip", "--seeds", "0", "--on", f"{prepared}:validation")
    assert ended.returncode == 0, ended.stderr
    out = tmp_path / "paper"
    name = f"{prepared.stem}-validation"
    tables = [(out / f"{stem}.csv").read_text() for stem in ("table", f"table-{name}")]
    assert [len(table.splitlines()) for table in tables] == [1 + 2 * 4] * 2 and tables[0] != tables[1]
    assert f"evaluate stems-SEED.pt --cache {prepared} --split validation" in (out / f"table-{name}.md").read_text()
    stamps = {path: path.stat().st_mtime_ns for path in (out / "results" / name).iterdir()}
    assert paper("--rows", "stems", "--seeds", "0", "--on", f"{prepared}:validation").returncode == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "what is done is not done again"
    two = paper("--rows", "stems", "--seeds", "0", "--on", f"{prepared}:validation", "--set", "stage1.steps=3")
    assert two.returncode == 0, two.stderr
    assert len((out / f"table-{name}.csv").read_text().splitlines()) == 1 + 4, "other settings, other results"


@pytest.mark.integration
def test_unknown_rows_and_sizes_are_refused_in_one_line(paper):
    for words, message in (
        (("--rows", "clip,harmonix"), "unknown row 'harmonix'; did you mean 'harmonic'"),
        (("--size", "huge"), "unknown config 'huge'"),
        (("--seeds", "one"), "--seeds 'one' is not a whole number"),
        (("--on", "others.h5"), "--on 'others.h5' is not a cache and a split"),
    ):
        ended = paper(*words)
        assert ended.returncode == 2 and message in ended.stderr and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("table", ["paper", "ablation", "evidence"])
def test_every_row_of_a_table_is_a_config(table):
    folder = ROOT / "pipelines" / table
    rows = tomllib.loads((folder / "rows.toml").read_text())
    configs = {}
    for name, row in rows.items():
        own = folder / f"{name}.toml"
        base = str(own) if own.exists() else str(ROOT / "pipelines" / "two-cores.toml")
        configs[name] = load_config(base, row.get("set", ())).to_dict()
        assert row["stage"] in (1, 2, 3) and row["title"]
    plain = [(rows[name]["stage"], config) for name, config in configs.items()]
    assert all(one not in plain[:place] for place, one in enumerate(plain)), "two rows are the same"


ON = {
    "transcription": {"transcription"},
    "clip": {"transcription", "clip_mixture"},
    "frame": {"transcription", "frame_mixture"},
    "harmonic": {"transcription", "harmonic_mixture"},
    "clip_harmonic": {"transcription", "clip_mixture", "harmonic_mixture"},
    "class_clip": {"transcription", "clip_mixture"},
    "class_frame": {"transcription", "clip_mixture", "frame_mixture"},
    "stems": {"stem"},
    "semi": {"transcription", "clip_mixture", "harmonic_mixture", "stem"},
}


@pytest.mark.parametrize("row", list(tomllib.loads((FOLDER / "rows.toml").read_text())))
def test_rows_differ_in_their_losses_alone(row):
    config, mini = load_config(str(FOLDER / f"{row}.toml")), load_config("mini")
    assert (config.architecture, config.data, config.stage2.steps) == (mini.architecture, mini.data, mini.stage2.steps)
    weights = {name: weight for name, weight in config.stage2.separator.items() if weight}
    assert set(weights) == ON.get(row, ON["clip_harmonic"])
    third = config.stage3
    adversarial = (
        bool(third.transcriptor["adversarial_mixture"]),
        bool(third.separator["adversarial_mixture"]),
        bool(third.transcriptor["adversarial_transcription"]),
    )
    expected = {
        "joint": (False, False, False),
        "adversarial_mixture": (True, True, False),
        "adversarial_transcription": (False, False, True),
        "adversarial_both": (True, True, True),
    }
    if row in expected:
        assert adversarial == expected[row] and config.stage1 == mini.stage1 and config.stage2 == mini.stage2
