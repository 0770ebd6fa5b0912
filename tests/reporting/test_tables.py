from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from scoresep.errors import ScoresepError
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.layout import rows_of
from scoresep.reporting.cells import NOTHING
from scoresep.reporting.tables import facts_of, figures_of_part, hint_of, tables_of


@pytest.fixture
def evaluation(made) -> Evaluation:
    return Evaluation.load(made.metrics)


def signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def test_the_separation_table_holds_the_figures(evaluation: Evaluation) -> None:
    table = tables_of(evaluation, "m.json")[0]
    assert table.columns == ("piano", "guitar", "bass", "mean")
    (model,) = [row for row in table.rows if row.strong]
    assert model.label == "this model"
    labels = [row.label for row in table.rows]
    assert labels[0] == "the mixture itself" and labels[-1] == "oracle mask"  # the model before what knows the stems
    for name, cell in zip(table.columns[:3], model.cells, strict=False):
        figures = evaluation.summary["separation"][name]
        assert f"({signed(figures['si_sdr_improvement'])})" in cell.text
        low, high = figures["si_sdr_improvement_interval"]
        assert f"{signed(low)} to {signed(high)}" in cell.small
        assert signed(figures["si_sdr_improvement_median"]) in cell.small


def test_transcription_has_intervals_and_details_are_folded(evaluation: Evaluation) -> None:
    tables = {table.title: table for table in tables_of(evaluation, "m.json")}
    row = tables["Transcription: F1"].rows[0]
    figures = evaluation.summary["transcription"]["piano"]
    low, high = figures["frame_f1_interval"]
    assert (row.cells[0].text, row.cells[0].small) == (f"{figures['frame_f1']:.2f}", f"{low:.2f} to {high:.2f}")
    folded = {title for title, table in tables.items() if table.folded}
    assert "All scores, off the separated tracks" in folded and "Track by track" in folded
    assert "Separation: SI-SDR" not in folded
    assert [row.label for row in tables["Track by track"].rows] == ["Track00001", "Track00002", "Track00003"]


def test_headlines(evaluation: Evaluation) -> None:
    facts = facts_of(evaluation, "m.json")
    mean = evaluation.summary["mean"]
    assert facts[0].value == f"{signed(mean['separation']['si_sdr_improvement'])} dB"
    assert {f"{mean['transcription'][name]:.2f}" for name in ("frame_f1", "note_f1")} <= {fact.value for fact in facts}
    assert "oracle" in hint_of(evaluation)
    bare = copy.deepcopy(evaluation)
    bare.summary["baselines"] = {}
    assert "oracle" not in hint_of(bare) and list(rows_of(bare.summary)) == ["model"]


def test_one_instrument_of_one_track(evaluation: Evaluation) -> None:
    rows = figures_of_part(evaluation, "Track00002", "bass")
    pair = evaluation.tracks[1]["separation"]["bass"]
    found = {row.label: row.cells[0].text for row in rows}
    for name, label in rows_of(evaluation.summary, titles=True).items():
        assert found[f"SI-SDR, {label}"] == f"{pair['si_sdr'][name]:.1f} dB".replace("-", "−")
    assert figures_of_part(evaluation, "another", "bass") == []


def test_undefined_figures_are_dashes(evaluation: Evaluation) -> None:
    evaluation = copy.deepcopy(evaluation)
    evaluation.summary["separation"]["piano"].update(si_sdr=None, si_sdr_improvement=None)
    evaluation.summary["counts"]["silent"] = 3
    table = tables_of(evaluation, "m.json")[0]
    (model,) = [row for row in table.rows if row.strong]
    assert model.cells[0].text == NOTHING
    assert "3 pairs of track and instrument are left out: the instrument is silent" in table.about


def test_a_row_that_is_not_known_any_more_keeps_its_name(evaluation: Evaluation) -> None:
    evaluation = copy.deepcopy(evaluation)
    for place in (evaluation.summary["baselines"], evaluation.summary["mean"]["baselines"]):
        place["of_yore"] = place["mixture"]
    assert "of_yore" in [row.label for row in tables_of(evaluation, "m.json")[0].rows]


@pytest.mark.parametrize("broken", [{}, {"counts": {}}, {"counts": None}, {"counts": {"scored": 1}, "separation": 3}])
def test_another_version_of_the_figures_is_refused(evaluation: Evaluation, broken: dict) -> None:
    with pytest.raises(ScoresepError, match=r"m\.json lacks figures .* evaluate anew"):
        tables_of(replace(evaluation, summary=broken), "m.json")
