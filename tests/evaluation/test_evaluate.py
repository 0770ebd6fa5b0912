import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from scoresep.cache.reader import Cache
from scoresep.errors import InvalidValue, Mismatch, NotFound, NothingToDo
from scoresep.evaluation.baselines import BASELINES, Reference, TrueTrack
from scoresep.evaluation.evaluate import Evaluation, evaluate, open_subject
from scoresep.evaluation.figures import FigureRow, record_of
from scoresep.evaluation.metric_table import METRICS, MODEL, OVERALL
from scoresep.evaluation.metrics import Stems, TrueStem, rest_bleed_db, resting, si_sdr
from scoresep.evaluation.tables import result_tables
from scoresep.evaluation.track_records import EvaluationSettings
from scoresep.grid import Grid
from scoresep.models.checkpoint import Checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.separation.separate import Options, separate_array
from scoresep.transcription.transcribe import transcribe_array, transcribe_tracks

INSTRUMENTS = ("piano", "guitar", "bass")


def shown(evaluation: Evaluation, details: bool = False) -> str:
    """What a terminal shows, unless a line were cut: it is far too wide for that."""
    console = Console(width=300, file=io.StringIO())
    console.print(result_tables(evaluation, details))
    return console.file.getvalue()


@pytest.fixture(scope="module")
def evaluated_path(
    make_checkpoint: Callable, make_model: Callable, cache: Cache, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The checkpoint of `evaluation`. Read only."""
    return make_checkpoint(
        tmp_path_factory.mktemp("evaluated") / "ckpt.pt", make_model(), str(cache.path), cache.digest
    )


@pytest.fixture(scope="module")
def evaluation(evaluated_path: Path) -> Evaluation:
    """Of all tracks, with all references. Read only."""
    return evaluate(open_subject(evaluated_path))


def test_states_of_pairs(evaluation: Evaluation) -> None:
    states = {
        record["track"]: [record["states"]["separation"][name] for name in INSTRUMENTS] for record in evaluation.tracks
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
    values = evaluation.tracks[0]["values"]["separation"]
    for n, name in enumerate(INSTRUMENTS):
        truth = cache.stems(row)[n]
        assert values[MODEL][name]["si_sdr"] == pytest.approx(si_sdr(truth, stems[name]), abs=1e-4)
        before, oracle = si_sdr(truth, cache.mixture(row)), values["oracle_mask"][name]
        assert oracle["si_sdr_improvement"] == pytest.approx(oracle["si_sdr"] - before, abs=1e-4)


def test_refined_figures_are_those_of_refined_stems(checkpoint_path: Path, cache: Cache, model: Model) -> None:
    refined = evaluate(open_subject(checkpoint_path, settings=EvaluationSettings(references=(), refine=True)))
    row = int(cache.rows("test")[0])
    stems = separate_array(cache.mixture(row), cache.grid.sample_rate, model, Options(refine=True))
    plain = separate_array(cache.mixture(row), cache.grid.sample_rate, model)
    for n, name in enumerate(INSTRUMENTS):
        outcome, truth = refined.tracks[0]["values"]["separation"][MODEL][name]["si_sdr"], cache.stems(row)[n]
        assert outcome == pytest.approx(si_sdr(truth, stems[name]), abs=1e-3)
        assert outcome != pytest.approx(si_sdr(truth, plain[name]), abs=0.1)
    assert any("--refine" in note for note in refined.notes)
    assert refined.about == open_subject(checkpoint_path, None, EvaluationSettings(references=(), refine=True)).about
    assert refined.about != open_subject(checkpoint_path, None, EvaluationSettings(references=())).about


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
    assert summary["separation"]["bass"]["bleed_db"] < 0
    assert evaluation.about["corpus"] == "tones"
    assert evaluation.about["split_set"] == "handmade"
    assert evaluation.about["seed"] == 5


def test_json_has_no_nan(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.save(tmp_path / "metrics.json")
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["summary"] == evaluation.summary
    assert Evaluation.read(tmp_path / "metrics.json") == evaluation


def test_the_tables_name_everything(evaluation: Evaluation) -> None:
    text = shown(evaluation)
    for expected in (*INSTRUMENTS, "mixture", "harmonic mask", "this model", "oracle mask", "frames", "notes"):
        assert expected in text
    assert "2 silent stems" in text
    assert "1 where the instrument plays alone" in text
    oracle = next(line for line in text.splitlines() if "oracle" in line)
    figures = evaluation.summary["baselines"]["oracle_mask"]["piano"]
    assert f"{figures['si_sdr']:.1f} ({figures['si_sdr_improvement']:+.1f})" in oracle
    assert max(len(line) for line in text.splitlines() if line[0] in "┃│") <= 80
    details = shown(evaluation, True)
    assert "frame acc." in details and "of none" in details
    assert max(len(line) for line in details.splitlines() if line[0] in "┃│") <= 100


def test_tables_of_a_result_with_gaps() -> None:
    """No pair scored, no note anywhere: dashes, no fault."""
    rows = [
        FigureRow("a", output, estimator, name, metric, np.nan, counts, state)
        for output, metric, counts, state in (
            ("separation", "si_sdr", (), "silent"),
            ("separation", "rest_bleed_db", (), "silent"),
            ("transcription", "frame_f1", (0, 0, 0), "no_notes"),
            ("transcription_separated", "note_f1", (0, 0, 0, 0), "no_notes"),
            ("transcription", "bleed_notes", (0, 0, 0, 0, 0), "no_notes"),
            ("transcription_separated", "bleed_notes", (0, 0, 0, 0, 0), "no_notes"),
        )
        for estimator in ((MODEL, *BASELINES) if output == "separation" else (MODEL,))
        for name in INSTRUMENTS
    ]
    rows.append(FigureRow("a", "separation", MODEL, OVERALL, "dropped_windows", np.nan, (0, 0)))
    about = {"corpus": "c", "split": "test", "split_set": "s", "instruments": list(INSTRUMENTS)}
    evaluation = Evaluation(about, [], [record_of("a", 1.0, rows)])
    json.dumps(evaluation.summary, allow_nan=False)
    for details in (False, True):
        text = shown(evaluation, details)
        assert "-" in text and "nan" not in text.lower()


def test_perfect_and_mixed_estimates() -> None:
    stem, other = np.random.default_rng(0).standard_normal((2, 1000))
    truth = [TrueStem(stem + other, each, 1000) for each in (stem, other)]
    assert [true.state for true in truth] == ["scored", "scored"]
    for estimates, gain in ((np.stack([stem, other]), 50), (np.stack([stem + other] * 2), 0)):
        pair = Stems(truth, estimates).pairs[0]
        outcome = METRICS["si_sdr_improvement"].measure(pair)
        assert outcome == 0 if gain == 0 else outcome > gain


def test_progress(checkpoint_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(
        open_subject(checkpoint_path, settings=EvaluationSettings("validation")),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 2), (2, 2)]


def test_missing_cache_asks_for_one(
    make_checkpoint: Callable, make_model: Callable, tmp_path: Path, refused: Any
) -> None:
    path = make_checkpoint(tmp_path / "a.pt", make_model(), str(tmp_path / "gone.h5"), "")
    with refused(NotFound, path):
        evaluate(open_subject(path))


def test_named_cache_overrides(cache: Cache, make_checkpoint: Callable, make_model: Callable, tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "a.pt", make_model(), str(tmp_path / "gone.h5"), "another")
    evaluation = evaluate(open_subject(path, cache.path))
    assert len(evaluation.notes) == 1
    assert "trained on another cache" in evaluation.notes[0]


def test_same_cache_is_not_remarked_on(evaluation: Evaluation) -> None:
    assert evaluation.notes == []


def test_no_track_in_the_split(checkpoint_path: Path, cache: Cache, refused: Any) -> None:
    with refused(NothingToDo, cache.path):
        evaluate(open_subject(checkpoint_path, settings=EvaluationSettings("train")))


def test_other_instruments(
    cache: Cache, make_checkpoint: Callable, make_model: Callable, tmp_path: Path, refused: Any
) -> None:
    model = make_model(instruments=("piano", "bass"))
    path = make_checkpoint(tmp_path / "a.pt", model, str(cache.path), cache.digest)
    with refused(Mismatch, cache.path):
        evaluate(open_subject(path))


def test_other_grid(
    cache: Cache, make_checkpoint: Callable, make_model: Callable, tmp_path: Path, refused: Any
) -> None:
    path = make_checkpoint(tmp_path / "a.pt", make_model(grid=Grid(8000, 512, 128)), str(cache.path), cache.digest)
    with refused(Mismatch, cache.path):
        evaluate(open_subject(path))


def test_rests_are_those_of_the_stems(evaluation: Evaluation, cache: Cache, model: Model) -> None:
    row = int(cache.rows("test")[0])
    mixture, truth = cache.mixture(row), cache.stems(row)[2]
    outcome = evaluation.tracks[0]["values"]["separation"][MODEL]["bass"]
    rests = resting(mixture, truth, cache.grid.sample_rate)
    estimate = separate_array(mixture, cache.grid.sample_rate, model)["bass"]
    assert outcome["rest_seconds"] == pytest.approx(0.25 * rests.sum()) and 0 < rests.sum() < len(rests)
    expected = rest_bleed_db(mixture, estimate, rests, cache.grid.sample_rate)
    assert outcome["rest_bleed_db"] == pytest.approx(expected, abs=1e-4)
    values = evaluation.tracks[1]["values"]["separation"]
    silent = values[MODEL]["bass"]
    assert silent["rest_bleed_db"] == pytest.approx(silent["bleed_db"], abs=1e-6) and "si_sdr" not in silent
    assert silent["rest_seconds"] == pytest.approx(3.0)
    assert values["oracle_mask"]["bass"]["rest_bleed_db"] < -90 and "bleed_db" not in values["oracle_mask"]["bass"]


def enliven(model: Model) -> None:
    """Let a random model find keys, which it does not as it is made."""
    with torch.no_grad():
        model.transcriptor.head.weight.mul_(8)
        model.transcriptor.head.bias.zero_()


def test_separated_tracks_are_heard_at_the_level_of_the_mixture(cache: Cache, model: Model) -> None:
    """A track that is the whole mixture transcribes as the mixture does, and a quieter one otherwise."""
    enliven(model)
    mixture = cache.mixture(int(cache.rows("test")[0]))
    whole = transcribe_array(mixture, cache.grid.sample_rate, model)
    assert 0.1 < whole.roll.mean() < 0.9 and all(len(notes) for notes in whole.notes.values())
    outcome = transcribe_tracks(dict.fromkeys(model.names, mixture), mixture, model)
    np.testing.assert_array_equal(outcome.roll, whole.roll)
    for name in model.names:
        np.testing.assert_array_equal(outcome.notes[name], whole.notes[name])
    quiet = transcribe_tracks(dict.fromkeys(model.names, 1e-3 * mixture), mixture, model)
    assert (quiet.roll != whole.roll).any()


def test_overall_counts_are_those_of_the_instruments_together(
    cache: Cache, model: Model, make_checkpoint: Callable, tmp_path: Path
) -> None:
    enliven(model)
    result = evaluate(open_subject(make_checkpoint(tmp_path / "a.pt", model, str(cache.path), cache.digest)))
    for key in ("transcription", "transcription_separated"):
        parts = [counts for record in result.tracks for counts in record["counts"][key][MODEL].values()]
        hit, false, missed = np.sum([counts["frame_f1"] for counts in parts], axis=0)
        overall = result.summary["overall"][key]
        assert hit and overall["frame_accuracy"] == pytest.approx(hit / (hit + false + missed))
        for place, (name, figures) in enumerate(result.summary[key].items()):
            estimated, leaked, *of_each = figures["bleed_notes_counts"]
            notes = [record["counts"][key][MODEL][name]["note_f1"] for record in result.tracks]
            assert estimated == sum(counts[1] for counts in notes) > 0
            assert of_each[place] == sum(counts[2] for counts in notes) <= estimated - leaked


def test_bss_eval_leaves_out_what_does_not_play(checkpoint_path: Path) -> None:
    result = evaluate(open_subject(checkpoint_path, settings=EvaluationSettings(references=("mixture",), bss=True)))
    overall = result.summary["overall"]
    for each in (overall["separation"], overall["baselines"]["mixture"]):
        assert each["dropped_windows_counts"][0] == 9
    bass = result.summary["baselines"]["mixture"]["bass"]
    assert np.isfinite([bass["sdr"], bass["isr"], bass["sir"], bass["sar"]]).all()
    values = result.tracks[1]["values"]["separation"][MODEL]
    assert {name for name, each in values.items() if "sdr" in each} == {"piano", "guitar"}
    assert "BSS Eval" in shown(result) and "mixture SIR" in shown(result, True)
    assert result.summary["baselines"].keys() == {"mixture"}
    assert "oracle" not in shown(result)


def test_unknown_reference(checkpoint_path: Path, refused: Any) -> None:
    with refused(InvalidValue):
        evaluate(open_subject(checkpoint_path, settings=EvaluationSettings(references=("oracle",))))


def test_a_result_tells_the_settings_that_it_was_made_with(evaluation: Evaluation, evaluated_path: Path) -> None:
    settings = EvaluationSettings()
    assert evaluation.about == open_subject(evaluated_path, None, settings).about
    for other in ({"split": "validation"}, {"bss": True}, {"references": ("mixture",)}):
        assert evaluation.about != open_subject(evaluated_path, None, replace(settings, **other)).about


@pytest.mark.integration
def test_bss_eval_pairs_each_estimate_with_its_stem(checkpoint_path: Path) -> None:
    result = evaluate(
        open_subject(
            checkpoint_path,
            settings=EvaluationSettings(
                references=("mixture", "oracle_mask"),
                bss=True,
            ),
        )
    )
    rows = result.summary["baselines"]
    for name in INSTRUMENTS:
        assert rows["oracle_mask"][name]["sdr"] > rows["mixture"][name]["sdr"] + 3
        assert rows["oracle_mask"][name]["sir"] > rows["mixture"][name]["sir"] + 3


def test_a_further_reference_is_a_line(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed, summarised and printed; here half the mixture for whoever sounds anywhere by the score."""

    def half(track: TrueTrack) -> np.ndarray:
        assert track.roll is not None and track.kinds == ("harmonic",) * 3
        return 0.5 * track.roll.any(axis=(0, 2))[:, None] * track.mixture

    monkeypatch.setitem(BASELINES, "half", Reference("half of it", "half of the mixture", half))
    result = evaluate(
        open_subject(
            checkpoint_path,
            settings=EvaluationSettings(references=("mixture", "half")),
        )
    )
    figures = result.summary["baselines"]
    assert figures["half"]["piano"]["si_sdr"] == pytest.approx(figures["mixture"]["piano"]["si_sdr"], abs=1e-4)
    values = result.tracks[0]["values"]["separation"]
    rests = [values[row]["guitar"]["rest_bleed_db"] for row in ("mixture", "half")]
    assert rests == pytest.approx([0.0, -6.02], abs=0.01)
    assert "half of it" in shown(result)


@pytest.mark.integration
def test_references_are_taken_from_another_result(
    checkpoint_path: Path,
    cache: Cache,
    make_checkpoint: Callable,
    make_model: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the letter what computing them again gives, and from no result of other settings or another split."""
    references = ("mixture", "oracle_mask")
    model = make_model()
    with torch.no_grad():
        model.separator.head.weight.mul_(3)
    path = make_checkpoint(tmp_path / "b.pt", model, str(cache.path), cache.digest)
    other = evaluate(open_subject(path, settings=EvaluationSettings(references=references, bss=True)))
    alone = evaluate(open_subject(checkpoint_path, settings=EvaluationSettings(references=references, bss=True)))
    assert alone.tracks != other.tracks
    computed: list[str] = []
    for name in references:
        real = BASELINES[name]
        noted = replace(real, estimate=lambda track, real=real: computed.append(real.label) or real.estimate(track))
        monkeypatch.setitem(BASELINES, name, noted)
    outcome = evaluate(
        open_subject(checkpoint_path, settings=EvaluationSettings(references=references, bss=True)), other=other
    )
    assert json.dumps(outcome.tracks) == json.dumps(alone.tracks) and outcome == alone and not computed
    evaluate(open_subject(checkpoint_path, settings=EvaluationSettings(references=references)), other=other)
    evaluate(open_subject(checkpoint_path, settings=EvaluationSettings(references=("mixture",), bss=True)), other=other)
    evaluate(
        open_subject(checkpoint_path, settings=EvaluationSettings("validation", references=references, bss=True)),
        other=other,
    )
    assert len(computed) == 3 * 2 + 3 + 2 * 2


def test_a_model_of_independent_masks_is_evaluated(cache: Cache, tmp_path: Path, model: Model) -> None:
    """Its stems leave a residual, which is no instrument."""
    independent = Model(model.grid, model.instruments, model.architecture, "sigmoid").eval()
    path = tmp_path / "ckpt.pt"
    save_checkpoint(
        path, Checkpoint(independent, 3, 7, True, {"seed": 5, "name": "test"}, str(cache.path), cache.digest)
    )
    summary = evaluate(open_subject(path, settings=EvaluationSettings(references=()))).summary
    assert all(summary["separation"][name]["si_sdr"] is not None for name in model.names)
