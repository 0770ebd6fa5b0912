"""Packages outside of the project that add a metric and a baseline by entry points alone; and broken ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from scoresep.errors import AlreadyExists, ScoresepError
from scoresep.evaluation.baselines import BASELINES, Reference
from scoresep.evaluation.metric_table import METRICS, Metric
from scoresep.plugins import Registry

ROOT = Path(__file__).parents[2]
GROUP = "scoresep.metrics"
OWN = dict(METRICS)
"""The project's rows: looked at before a test installs others, which the table would keep."""
METRIC = (
    "from scoresep.evaluation.metric_table import Metric\n"
    "M = Metric(label='m', title='m', about='.', source='stems', {})\n"
)


def how_to(heading: str) -> tuple[str, dict[str, dict[str, str]]]:
    """The module and the entry points of a section of docs/how-to/metric.md."""
    page = (ROOT / "docs" / "how-to" / "metric.md").read_text("utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    code, points = (re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL)[1] for kind in ("python", "toml"))
    return code, tomllib.loads(points)["project"]["entry-points"]


def install(folder: Path, name: str, code: str, points: dict[str, dict[str, str]]) -> Path:
    """What pip makes of a package of one module."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(code, "utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items()) for group, rows in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")
    return folder


def scoresep(here: Path, site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in `here`, with the packages in `site`."""
    path = os.pathsep.join([str(ROOT), str(site)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    line = [sys.executable, "-m", "scoresep", *words]
    return subprocess.run(line, cwd=here, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="paths of a POSIX shell")
def test_a_metric_and_a_baseline_of_another_package(checkpoint_path: Path, tmp_path: Path) -> None:
    """The code of the two how-tos, in two packages; figures in terminal, JSON, report, and comparison."""
    for heading in ("A metric", "A baseline"):
        code, points = how_to(heading)
        (name,) = {value.partition(":")[0] for rows in points.values() for value in rows.values()}
        install(tmp_path / "site", name, code, points)
    ended = scoresep(tmp_path, tmp_path / "site", "evaluate", "ckpt.pt", "--references", "mixture,equal_share")
    assert ended.returncode == 0, ended.stderr
    assert "level error, dB" in ended.stdout and "equal share" in ended.stdout and "notes too many" in ended.stdout
    result = json.loads((tmp_path / "metrics.json").read_text())
    summary, settings = result["summary"], result["about"]["settings"]
    assert summary["baselines"]["equal_share"]["piano"]["si_sdr_improvement"] == pytest.approx(0, abs=1e-4)
    assert (
        summary["separation"]["piano"]["level_error"] >= 0 and summary["overall"]["transcription"]["extra_notes"] >= -1
    )
    values = result["tracks"][0]["values"]["separation"]
    mixture, share = (values[name]["bass"]["level_error"] for name in ("mixture", "equal_share"))
    assert mixture > 0 and share == pytest.approx(abs(mixture - 9.542), abs=0.001)  # a third of it
    assert settings["plugins"].keys() == {"level_error", "extra_notes", "equal_share"}
    ended = scoresep(tmp_path, tmp_path / "site", "report", "metrics.json", "--tracks", "1", "--seconds", "1")
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "report.html").read_text()
    assert "Separation: Level error" in page and "an equal share of the mixture" in page and "Notes too many" in page
    again = scoresep(tmp_path, tmp_path / "none", "evaluate", "ckpt.pt", "--references", "mixture")
    assert again.returncode == 0 and "level error" not in again.stdout  # the package is gone, and its figures with it


@pytest.mark.parametrize(
    ("code", "points", "words"),
    [
        ("import nowhere_to_be_found\n", {"bad": "broken:M"}, "cannot be loaded (ModuleNotFoundError"),
        ("raise SystemExit(3)\n", {"bad": "broken:M"}, "cannot be loaded (SystemExit"),
        ("def broken(:\n", {"bad": "broken:M"}, "cannot be loaded (SyntaxError"),
        ("\n", {"bad": "broken:M"}, "cannot be loaded (AttributeError"),
        ("\n", {"bad": "broken"}, "is a module, not a scoresep.evaluation.metric_table.Metric"),
        (METRIC.format("measure=float, average='pooled'"), {"bad": "broken:M"}, "what is pooled needs a score"),
        (METRIC.format("measure=float, shown='always'"), {"bad": "broken:M"}, "shown 'always' is none of table"),
        (METRIC.format("measure=float, colour='red'"), {"bad": "broken:M"}, "cannot be loaded (TypeError"),
        (METRIC.format("measure=float"), {"bad name": "broken:M"}, "'bad name'"),
        (METRIC.format("measure=float"), {"si_sdr": "broken:M"}, "a name that scoresep uses"),
        (METRIC.format("measure=float"), {"silent": "broken:M"}, "a name that scoresep uses"),
    ],
)
def test_a_broken_package_is_one_line(
    code: str, points: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, "broken", code, {GROUP: points}))
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with pytest.raises(ScoresepError) as fault:
        dict(Registry(GROUP, Metric, OWN, ("silent",)))
    said = str(fault.value)
    assert words in said and "broken 1.0" in said and "pip uninstall broken" in said and "\n" not in said


def test_two_rows_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    for name in ("one", "two"):
        monkeypatch.syspath_prepend(
            install(
                tmp_path / name, f"twin_{name}", METRIC.format("measure=float"), {GROUP: {"twin": f"twin_{name}:M"}}
            )
        )
    with refused(AlreadyExists) as error:
        dict(Registry(GROUP, Metric, OWN))
    assert "twin_one 1.0" in error.value.problem and "twin_two 1.0" in error.value.problem


@pytest.mark.integration
@pytest.mark.parametrize(
    ("group", "code", "words"),
    [
        (GROUP, METRIC.format("measure=lambda pair: 1 / 0"), "ZeroDivisionError"),
        (GROUP, METRIC.format("measure=lambda pair: 'loud'"), "ValueError"),
        (GROUP, METRIC.format("measure=lambda pair: (1, 2), score=lambda counts: counts[7]"), "IndexError"),
        (
            "scoresep.baselines",
            "from scoresep.evaluation.baselines import Reference\nM = Reference('m', 'm', lambda t: t.mixture)\n",
            "shape",
        ),
        (
            "scoresep.baselines",
            "from scoresep.evaluation.baselines import Reference\nM = Reference('m', 'm', lambda t: t.nothing)\n",
            "AttributeError",
        ),
    ],
)
def test_one_that_fails_at_work_is_one_line(
    group: str, code: str, words: str, checkpoint_path: Path, tmp_path: Path
) -> None:
    site = install(tmp_path / "site", "weak", code, {group: {"weak": "weak:M"}})
    ended = scoresep(
        tmp_path, site, "evaluate", "ckpt.pt", "--references", "weak" if "base" in group else "none", "--jobs", "1"
    )
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1, ended.stderr
    assert words in ended.stderr and "weak 1.0" in ended.stderr and "pip uninstall weak" in ended.stderr
    assert not (tmp_path / "metrics.json").exists()


def test_tables_are_read_once_and_ours_come_first() -> None:
    assert [*BASELINES][:4] == ["mixture", "harmonic_mask", "score_nmf", "oracle_mask"] and next(
        iter(METRICS)
    ) == "si_sdr"
    assert all(isinstance(row, Reference) for row in BASELINES.values())
