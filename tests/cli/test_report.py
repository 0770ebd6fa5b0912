"""`scoresep report` as users type it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoresep.cache.reader import Cache
from scoresep.evaluation.evaluate import evaluate, open_subject
from scoresep.evaluation.track_records import EvaluationSettings


@pytest.fixture
def here(tmp_path: Path, cache: Cache, make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a checkpoint and its evaluation."""
    monkeypatch.chdir(tmp_path)
    make.checkpoint(tmp_path / "ckpt.pt", cache)
    evaluate(open_subject("ckpt.pt", settings=EvaluationSettings(references=("mixture",)))).save("metrics.json")
    return tmp_path


def test_a_report_of_an_evaluation(command, here: Path) -> None:
    status, out, err = command("scoresep report metrics.json --out a/report.html --tracks 1 --seconds 1 --audio mp3")
    assert (status, err) == (0, "")
    assert "report: a/report.html (" in out and "separating: 1/1 tracks" in out
    page = (here / "a" / "report.html").read_text()
    assert page.count("<audio") == 7 and "data:audio/mpeg" in page
    assert {path.name for path in (here / "a").iterdir()} == {"report.html"}


def test_nothing_named_and_a_track_by_name(command, here: Path) -> None:
    status, out, _ = command("scoresep report --tracks Track00001 --seconds 1")
    assert status == 0 and "report: report.html" in out
    assert "As asked for" in (here / "report.html").read_text()


def test_what_a_reader_should_know_is_said(command, here: Path) -> None:
    (here / "ckpt.pt").unlink()
    status, out, err = command("scoresep report")
    assert (status, err) == (0, "") and "checkpoint that was evaluated does not exist any more" in out
    assert "checkpoint that was evaluated does not exist any more" in (here / "report.html").read_text()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("scoresep report nowhere", "nowhere"),
        ("scoresep report metrics.json --audio wav", "wav"),
        ("scoresep report metrics.json --tracks ,", "','"),
        ("scoresep report metrics.json --tracks Track00009", "Track00009"),
        ("scoresep report metrics.json --split tset", "tset"),
        ("scoresep report metrics.json --seconds inf", "inf"),
        ("scoresep report old.json", "old.json"),
    ],
)
def test_faults_are_named(command, here: Path, line: str, named: str) -> None:
    (here / "old.json").write_text('{"about": {}, "notes": [], "summary": {"counts": {}}, "tracks": []}')
    status, _, err = command(line)
    assert status == 2 and named in err and "Traceback" not in err, err
    assert not (here / "report.html").exists()
