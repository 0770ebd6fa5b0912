"""Packages outside of the project that are broken: one line names them and says how to be rid of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoresep.errors import (
    AlreadyExists,
    Failed,
    InvalidValue,
    ScoresepError,
    Unavailable,
    WrongFormat,
)
from scoresep.evaluation.baselines import BASELINES, Reference
from scoresep.evaluation.evaluate import evaluate, open_subject
from scoresep.evaluation.metric_table import METRICS, Metric
from scoresep.evaluation.track_records import EvaluationSettings
from scoresep.plugins import Registry

GROUP = "scoresep.metrics"
BUILT_IN = dict(METRICS)
"""The project's rows: looked at before a test installs others."""
METRIC = """
from scoresep.evaluation.metric_table import Metric
M = Metric(label='m', title='m', about='.', source='stems', {})
"""
BASELINE = "from scoresep.evaluation.baselines import Reference\nM = Reference('m', 'm', lambda track: {})\n"


@pytest.fixture
def broken(installed, package):
    """A function that installs a package of one module, with an entry point of some name."""

    def install(code: str, point: str = "M", group: str = GROUP, row: str = "bad", name: str = "broken") -> None:
        installed(package({f"{name}.py": code}, {group: {row: f"{name}:{point}".strip(":")}}), name)

    return install


def check(fault: ScoresepError, *words: str) -> None:
    """The package, its version, and how to be rid of it; and more words."""
    assert all(word in fault.problem for word in ("broken 1.0", *words)), fault.problem
    assert "pip uninstall broken" in fault.remedy


@pytest.mark.parametrize(
    ("code", "point", "kind", "words"),
    [
        ("import nowhere_to_be_found\n", "M", Unavailable, "ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "M", Unavailable, "SystemExit"),
        ("def broken(:\n", "M", Unavailable, "SyntaxError"),
        ("\n", "M", Unavailable, "AttributeError"),
        ("\n", "", WrongFormat, "scoresep.evaluation.metric_table.Metric"),
        (METRIC.format("measure=float, average='pooled'"), "M", Unavailable, "score"),
        (METRIC.format("measure=float, shown='always'"), "M", Unavailable, "'always'"),
        (METRIC.format("measure=float, colour='red'"), "M", Unavailable, "TypeError"),
    ],
)
def test_a_row_that_cannot_be_used(broken, refused, code: str, point: str, kind: type, words: str) -> None:
    broken(code, point)
    with refused(kind) as info:
        dict(Registry(GROUP, Metric, BUILT_IN))
    check(info.value, words)


@pytest.mark.parametrize(
    ("row", "kind"), [("bad name", InvalidValue), ("si_sdr", AlreadyExists), ("silent", AlreadyExists)]
)
def test_a_name_that_cannot_be_used(broken, refused, row: str, kind: type) -> None:
    """No identifier, that of one of the project's rows, or a reserved one."""
    broken(METRIC.format("measure=float"), row=row)
    with refused(kind) as info:
        dict(Registry(GROUP, Metric, BUILT_IN, ("silent",)))
    check(info.value, f"'{row}'")


def test_two_rows_of_one_name(broken, refused) -> None:
    for name in ("one", "two"):
        broken(METRIC.format("measure=float"), row="twin", name=name)
    with refused(AlreadyExists) as info:
        dict(Registry(GROUP, Metric, BUILT_IN))
    assert "one 1.0" in info.value.problem and "two 1.0" in info.value.problem


@pytest.mark.parametrize(
    ("group", "code", "words"),
    [
        (GROUP, METRIC.format("measure=lambda pair: 1 / 0"), "ZeroDivisionError"),
        (GROUP, METRIC.format("measure=lambda pair: 'loud'"), "ValueError"),
        (GROUP, METRIC.format("measure=lambda pair: (1, 2), score=lambda counts: counts[7]"), "IndexError"),
        ("scoresep.baselines", BASELINE.format("track.mixture"), "shape"),
        ("scoresep.baselines", BASELINE.format("track.nothing"), "AttributeError"),
    ],
)
def test_one_that_fails_at_work(
    broken, refused, cache, make, tmp_path: Path, group: str, code: str, words: str
) -> None:
    broken(code, group=group)
    path = make.checkpoint(tmp_path / "ckpt.pt", cache)
    with refused(Failed) as info:
        settings = EvaluationSettings(references=("bad",) if "base" in group else ())
        evaluate(open_subject(path, None, settings), jobs=1)
    check(info.value, words)


@pytest.mark.parametrize("group", ["losses", "networks"])
@pytest.mark.parametrize("code", ["import nowhere_to_be_found\n", "M = 3\n"])
def test_training_ends_before_it_begins(broken, command, cache, tmp_path, monkeypatch, group: str, code: str) -> None:
    monkeypatch.chdir(tmp_path)
    broken(code, group=f"scoresep.{group}")
    status, _, said = command(f"scoresep train --cache {cache.path} --steps 1")
    assert status == 2 and len(said.splitlines()) == 1 and "'bad'" in said and "broken 1.0" in said
    assert not (tmp_path / "run").exists()


def test_a_broken_dataset_stops_no_other(broken, command) -> None:
    broken("import nowhere_to_be_found\n", group="scoresep.datasets")
    status, _, said = command("scoresep prepare bad folder")
    assert status == 2 and len(said.splitlines()) == 1 and "broken 1.0" in said
    status, _, said = command("scoresep prepare slakh nowhere")
    assert status == 2 and "nowhere" in said and "broken" not in said


def test_the_projects_rows_come_first() -> None:
    assert [*BASELINES][:4] == ["mixture", "harmonic_mask", "score_nmf", "oracle_mask"]
    assert next(iter(METRICS)) == "si_sdr" and all(isinstance(row, Reference) for row in BASELINES.values())
