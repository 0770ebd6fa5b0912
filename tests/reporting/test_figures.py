"""The figures of an evaluation as the page has them, against its summary."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from scoresep.errors import Damaged, WrongVersion
from scoresep.evaluation.evaluate import METRICS_VERSION, Evaluation
from scoresep.evaluation.tables import labels, pair_lines, tables_of
from scoresep.reporting.page import facts_of, hint_of, printed


@pytest.fixture
def evaluation(made) -> Evaluation:
    return Evaluation.read(made.metrics)


def test_the_separation_table_holds_the_figures(evaluation: Evaluation) -> None:
    table = tables_of(evaluation.figures)[0]
    assert table.columns == ("piano", "guitar", "bass", "mean")
    (model,) = [line for line in table.lines if line.strong]
    assert model.title == "this model"
    titles = [line.title for line in table.lines]
    assert titles[0] == "the mixture itself" and titles[-1] == "oracle mask"  # the model before what knows the stems
    for name, cell in zip(table.columns[:3], model.cells, strict=False):
        figures = evaluation.summary["separation"][name]
        assert cell.text == f"{figures['si_sdr']:.1f} ({figures['si_sdr_improvement']:+.1f})"
        assert cell.interval == tuple(f"{end:+.1f}" for end in figures["si_sdr_improvement_interval"])
        assert cell.median == f"{figures['si_sdr_improvement_median']:+.1f}"


def test_transcription_has_intervals_and_details_are_folded(evaluation: Evaluation) -> None:
    tables = {table.title: table for table in tables_of(evaluation.figures)}
    cell = tables["Transcription: F1"].lines[0].cells[0]
    figures = evaluation.summary["transcription"]["piano"]
    low, high = figures["frame_f1_interval"]
    assert (cell.text, cell.interval) == (f"{figures['frame_f1']:.2f}", (f"{low:.2f}", f"{high:.2f}"))
    shown = {title: table.shown for title, table in tables.items()}
    assert shown["All scores, off the separated tracks"] == "details" and shown["Track by track"] == "page"
    assert shown["Separation: SI-SDR"] == "table"
    assert [line.title for line in tables["Track by track"].lines] == ["Track00001", "Track00002", "Track00003"]


def test_headlines(evaluation: Evaluation) -> None:
    facts = facts_of(evaluation.figures)
    mean = evaluation.summary["mean"]
    assert facts[0]["value"] == f"{mean['separation']['si_sdr_improvement']:+.1f} dB"
    assert facts[0]["label"] == "SI-SDR improvement, this model" and len(facts[0]["interval"]) == 2
    assert {f"{mean['transcription'][name]:.2f}" for name in ("frame_f1", "note_f1")} <= {
        fact["value"] for fact in facts
    }
    assert "oracle" in hint_of(evaluation.figures)
    alone = [
        record | {"values": {"separation": {"model": record["values"]["separation"]["model"]}}}
        for record in evaluation.tracks
    ]
    bare = replace(evaluation, tracks=alone).figures
    assert "oracle" not in hint_of(bare) and list(labels(bare)) == ["model"]


def test_one_instrument_of_one_track(evaluation: Evaluation) -> None:
    values = evaluation.tracks[1]["values"]["separation"]
    result = {line.title: line.cells[0].text for line in pair_lines(evaluation.figures, "Track00002", "bass")}
    for name, (_, title) in labels(evaluation.figures).items():
        assert result[f"SI-SDR, {title}"] == f"{values[name]['bass']['si_sdr']:.1f} dB"
    assert pair_lines(evaluation.figures, "another", "bass") == []


def test_undefined_figures_are_dashes(evaluation: Evaluation) -> None:
    tracks = json.loads(json.dumps(evaluation.tracks))
    for record in tracks:
        record["states"]["separation"]["piano"] = "silent"
    table = tables_of(replace(evaluation, tracks=tracks).figures)[0]
    (model,) = [line for line in table.lines if line.strong]
    assert printed(model.cells[0].text) == "–" and printed("-1.5") == "−1.5"
    assert "3 pairs of track and instrument are left out: the instrument is silent" in table.about


def test_a_row_that_is_not_known_any_more_keeps_its_name(evaluation: Evaluation) -> None:
    tracks = json.loads(json.dumps(evaluation.tracks))
    for record in tracks:
        record["values"]["separation"]["of_yore"] = record["values"]["separation"]["mixture"]
    table = tables_of(replace(evaluation, tracks=tracks).figures)[0]
    assert "of_yore" in [line.title for line in table.lines]


@pytest.mark.parametrize(
    "broken", [{}, {"track": "a", "values": 3}, {"track": "a", "values": {"separation": {"x": {"y": {"z": "w"}}}}}]
)
def test_other_figures_are_refused_by_name(made_copy, broken: dict, refused: Any) -> None:
    result = json.loads(made_copy.metrics.read_text())
    made_copy.metrics.write_text(json.dumps(result | {"tracks": [broken]}))
    with refused(Damaged, made_copy.metrics):
        Evaluation.read(made_copy.metrics)


def test_an_older_version_is_refused_by_name(made_copy, refused: Any) -> None:
    content = json.loads(made_copy.metrics.read_text())
    made_copy.metrics.write_text(json.dumps(content | {"version": METRICS_VERSION - 1}))
    with refused(WrongVersion, made_copy.metrics):
        Evaluation.read(made_copy.metrics)
