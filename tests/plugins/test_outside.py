"""One package outside of the project adds a network, a loss, a dataset, a mask, a metric and a baseline at once."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from scoresep.cache.reader import Cache
from scoresep.training.log import read_log

PAGES = ("network", "loss", "dataset", "metric", "instruments")
ROOT = Path(__file__).parents[2]
TINY = ("transcriptor.channels=8", "transcriptor.hidden=16", "data.clip_frames=16", "data.batch_size=2")


@pytest.mark.integration
def test_a_package_adds_rows_to_every_table_by_entry_points_alone(scoresep, shown, recordings, tmp_path) -> None:
    """A run prepares with its dataset and mask, trains with its network and loss, and shows its metric everywhere."""
    package = shown(*PAGES)
    kinds = ("networks", "losses", "datasets", "masks", "metrics", "baselines")
    assert package.points.keys() == {f"scoresep.{kind}" for kind in kinds}
    site = package.install(tmp_path / "site")

    def run(*words: str | Path) -> str:
        line = " ".join(map(str, ("scoresep", *words)))
        ended = scoresep(line, PYTHONPATH=os.pathsep.join(map(str, (site, ROOT))))
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    page = ROOT / "docs" / "how-to" / "dataset.md"
    (line,) = re.findall(r"^```text\nscoresep (.*)\n```$", page.read_text("utf-8"), re.MULTILINE)
    words = line.replace("~/mydata", "mydata").split()
    assert "no unlabelled.csv" in run(*words, "--instruments", site / "low.toml", "--jobs", "2")
    check_cache(Cache(tmp_path / "cache.h5"))

    weights = tomllib.loads(package.files["sparse.toml"])["stage2"]["separator"]
    settings = [*TINY, *(f"stage2.separator.{name}={weight}" for name, weight in weights.items())]
    tiny = [word for setting in settings for word in ("--set", setting)]
    run("train", "--stage", "2", "--config", site / "small.toml", "--steps", "2", *tiny)
    losses = [record["separator/sparsity"] for record in read_log(tmp_path / "run") if record["stage"] == 2]
    assert losses and all(np.isfinite(losses))
    told = run("info", "ckpt.pt")
    assert "small: channels 6" in told and "tcn: channels 8" in told

    assert "notes too many" in run("evaluate", "ckpt.pt", "--jobs", "1")
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["summary"]["overall"]["transcription"]["extra_notes"] >= -1
    assert found["about"]["settings"]["plugins"].keys() == {"level_error", "extra_notes", "equal_share"}
    run("report", "metrics.json", "--tracks", "1", "--seconds", "1")
    assert "Notes too many" in (tmp_path / "report.html").read_text()

    alone = scoresep("scoresep info ckpt.pt", PYTHONPATH=str(ROOT))
    assert alone.returncode == 2 and "ckpt.pt" in alone.stderr and "small" in alone.stderr


def check_cache(cache: Cache) -> None:
    """It holds the recordings, their notes, and masks that end at 2 kHz for the bass."""
    assert (cache.corpus, cache.names, cache.has_stems) == ("mydata", ("bass", "piano"), False)
    assert cache.split_set == "hashed2"
    assert sum(len(cache.rows(split)) for split in ("train", "validation", "test")) == 6
    row = cache.tracks["id"].tolist().index("take3")
    notes = [(note[0], note[1], note[2], note[4]) for note in cache.notes(row).tolist()]
    assert np.allclose(notes, [(0.1, 0.5, 68, 1), (0.5, 0.9, 40, 0)])
    grid = cache.grid
    frequencies = np.arange(grid.bins) * grid.sample_rate / grid.n_fft
    silent, sounding = (round(seconds * grid.sample_rate / grid.hop) for seconds in (0.3, 0.7))
    mask = cache.harmonic(row)[:, 0]
    assert np.array_equal(mask[sounding], frequencies < 2000) and not mask[silent].any()


def test_its_dataset_is_a_command_with_its_options(command, installed, shown) -> None:
    installed(shown("dataset"))
    assert "mydata" in command("scoresep prepare --help")[1]
    _, told, _ = command("scoresep prepare mydata --help")
    told = " ".join(word for word in told.split() if word != "│")
    assert "--salt" in told and "Another one gives other splits." in told and "--score-check" not in told


def test_its_folder_may_come_from_the_environment(command, installed, shown, recordings, tmp_path, monkeypatch) -> None:
    """And labels that its reader does not expect leave out their track."""
    installed(shown("dataset"))
    monkeypatch.setenv("MYDATA_ROOT", str(recordings))
    (recordings / "take1.csv").write_text("start,end,program,pitch\na,b,c,d\n")
    status, _, said = command(f"scoresep prepare mydata --out {tmp_path / 'c.h5'} --jobs 1")
    assert status == 0 and "Traceback" not in said
    assert len(Cache(tmp_path / "c.h5").tracks) == 5 and "take1.csv" in (tmp_path / "c.report.csv").read_text()


def test_its_metrics_and_baselines_are_computed_and_compared(
    command, installed, shown, cache, make, tmp_path, monkeypatch
) -> None:
    """Of stems: the values can be said in advance. Without the package they stay in the file and are not shown."""
    monkeypatch.chdir(tmp_path)
    make.checkpoint(tmp_path / "ckpt.pt", cache, loud=8)
    installed(shown("metric"))
    status, told, said = command("scoresep evaluate ckpt.pt --references mixture,equal_share --jobs 1")
    assert status == 0, said
    assert "level error, dB" in told and "equal share" in told and "notes too many" in told
    found = json.loads((tmp_path / "metrics.json").read_text())
    summary = found["summary"]
    assert summary["baselines"]["equal_share"]["piano"]["si_sdr_improvement"] == pytest.approx(0, abs=1e-4)
    assert summary["separation"]["piano"]["level_error"] >= 0
    values = found["tracks"][0]["values"]["separation"]
    mixture, share = (values[name]["bass"]["level_error"] for name in ("mixture", "equal_share"))
    assert mixture > 0 and share == pytest.approx(abs(mixture - 9.542), abs=0.001)  # a third of it
    assert command("scoresep report metrics.json --tracks 1 --seconds 1")[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "Separation: Level error" in page and "an equal share of the mixture" in page and "Notes too many" in page

    installed.remove()
    status, told, _ = command("scoresep evaluate ckpt.pt --references mixture --jobs 1")
    assert status == 0 and "SI-SDR" in told and "level error" not in told
