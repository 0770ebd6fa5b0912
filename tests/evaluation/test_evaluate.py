import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.evaluation.evaluate import MODEL, Evaluation, evaluate, separation_record
from scoresep.evaluation.metrics import si_sdr
from scoresep.evaluation.report import report
from scoresep.grid import Grid
from scoresep.inference.separate import separate_array
from scoresep.training.checkpoint import Model

INSTRUMENTS = ("piano", "guitar", "bass")


@pytest.fixture
def evaluation(checkpoint_path: Path) -> Evaluation:
    return evaluate(checkpoint_path)


def test_states_of_pairs(evaluation: Evaluation) -> None:
    states = {
        record["track"]: [record["separation"][name]["state"] for name in INSTRUMENTS] for record in evaluation.tracks
    }
    assert states == {
        "full": ["scored", "scored", "scored"],
        "no_bass": ["scored", "scored", "silent"],
        "piano_alone": ["alone", "scored", "silent"],
    }
    assert evaluation.summary["counts"] == {"tracks": 3, "scored": 6, "silent": 2, "alone": 1}


def test_figures_are_those_of_the_stems(evaluation: Evaluation, cache: Cache, model: Model) -> None:
    row = int(cache.rows("test")[0])
    stems = separate_array(cache.mixture(row), cache.grid.sample_rate, model)
    record = evaluation.tracks[0]["separation"]
    for n, name in enumerate(INSTRUMENTS):
        truth = cache.stems(row)[n]
        assert record[name]["si_sdr"][MODEL] == pytest.approx(si_sdr(truth, stems[name]), abs=1e-4)
        before = si_sdr(truth, cache.mixture(row))
        assert record[name]["si_sdr_improvement"]["oracle_mask"] == pytest.approx(
            record[name]["si_sdr"]["oracle_mask"] - before, abs=1e-4
        )


def test_summary_has_the_promised_layout(evaluation: Evaluation) -> None:
    summary = evaluation.summary
    for name in INSTRUMENTS:
        assert {"si_sdr", "si_sdr_improvement"} <= summary["separation"][name].keys()
        assert {"frame_f1", "note_f1"} <= summary["transcription"][name].keys()
        rows = {row: figures[name]["si_sdr"] for row, figures in summary["baselines"].items()}
        assert rows["mixture"] < rows["harmonic_mask"]
        assert rows["mixture"] < rows["oracle_mask"]
        assert summary["baselines"]["mixture"][name]["si_sdr_improvement"] == 0
    assert summary["separation"].keys() == set(INSTRUMENTS)
    assert summary["separation"]["bass"]["scored"] == 1
    assert summary["separation"]["bass"]["leak_db"] < 0
    assert evaluation.about["corpus"] == "tones"
    assert evaluation.about["split_set"] == "handmade"
    assert evaluation.about["seed"] == 5


def test_json_has_no_nan(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.save(tmp_path / "metrics.json")
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text) == json.loads(json.dumps(asdict(evaluation)))


def test_report_names_everything(evaluation: Evaluation) -> None:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report(evaluation))
    text = console.export_text()
    for expected in (*INSTRUMENTS, "mixture", "harmonic mask", "this model", "oracle mask", "frames", "notes"):
        assert expected in text
    assert "2 silent stems" in text
    assert "1 where the instrument plays alone" in text
    oracle = next(line for line in text.splitlines() if "oracle" in line)
    figures = evaluation.summary["baselines"]["oracle_mask"]["piano"]
    assert f"{figures['si_sdr']:.1f} ({figures['si_sdr_improvement']:+.1f})" in oracle
    assert max(map(len, text.splitlines())) <= 80


def test_report_of_a_result_with_gaps() -> None:
    """No pair scored, no note anywhere: dashes, no fault."""
    gap = {"si_sdr": None, "si_sdr_median": None, "si_sdr_improvement": None, "si_sdr_improvement_median": None}
    notes = {"frame_f1": None, "note_f1": None}
    summary = {
        "separation": {name: {**gap, "leak_db": None} for name in INSTRUMENTS},
        "transcription": dict.fromkeys(INSTRUMENTS, notes),
        "baselines": {row: dict.fromkeys(INSTRUMENTS, gap) for row in ("mixture", "harmonic_mask", "oracle_mask")},
        "mean": {
            "separation": gap,
            "transcription": notes,
            "baselines": dict.fromkeys(("mixture", "harmonic_mask", "oracle_mask"), gap),
        },
        "counts": {"tracks": 1, "scored": 0, "silent": 3, "alone": 0},
    }
    about = {"corpus": "c", "split": "test", "split_set": "s"}
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report(Evaluation(about, [], summary, [])))
    assert "-" in console.export_text()


def test_perfect_and_mixed_estimates() -> None:
    rng = np.random.default_rng(0)
    stem, other = rng.standard_normal((2, 1000))
    record = separation_record(stem + other, stem, {MODEL: stem, "mixture": stem + other})
    assert record["state"] == "scored"
    assert record["si_sdr_improvement"]["mixture"] == 0
    assert record["si_sdr_improvement"][MODEL] > 50


def test_progress(checkpoint_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(checkpoint_path, split="validation", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ScoresepError, match=r"checkpoint .*none\.pt does not exist"):
        evaluate(tmp_path / "none.pt")


def test_missing_cache_asks_for_one(make_checkpoint: Callable, make_model: Callable, tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "a.pt", make_model(), str(tmp_path / "gone.h5"), "")
    with pytest.raises(ScoresepError, match=r"gone\.h5 that .*a\.pt was trained on is not there; .*--cache"):
        evaluate(path)


def test_named_cache_overrides(cache: Cache, make_checkpoint: Callable, make_model: Callable, tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "a.pt", make_model(), str(tmp_path / "gone.h5"), "another")
    evaluation = evaluate(path, cache.path)
    assert len(evaluation.notes) == 1
    assert "trained on another cache" in evaluation.notes[0]


def test_same_cache_is_not_remarked_on(evaluation: Evaluation) -> None:
    assert evaluation.notes == []


def test_no_track_in_the_split(checkpoint_path: Path) -> None:
    with pytest.raises(ScoresepError, match=r"no track in the split 'train' \(it has test, validation\)"):
        evaluate(checkpoint_path, split="train")


def test_other_instruments(cache: Cache, make_checkpoint: Callable, make_model: Callable, tmp_path: Path) -> None:
    model = make_model(instruments=("piano", "bass"))
    path = make_checkpoint(tmp_path / "a.pt", model, str(cache.path), cache.digest)
    with pytest.raises(ScoresepError, match=r"has the instruments piano,guitar,bass, .* trained for piano,bass"):
        evaluate(path)


def test_other_grid(cache: Cache, make_checkpoint: Callable, make_model: Callable, tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "a.pt", make_model(grid=Grid(8000, 512, 128)), str(cache.path), cache.digest)
    with pytest.raises(ScoresepError, match=r"has the grid sample_rate=8000 n_fft=1024 hop=256, .* needs .*n_fft=512"):
        evaluate(path)
