import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from rich.console import Console

from scoresep.cache.reader import Cache
from scoresep.errors import Mismatch
from scoresep.evaluation.evaluate import Evaluation, compare, evaluate, open_subject, paired
from scoresep.evaluation.metric_table import MEAN, MODEL
from scoresep.evaluation.tables import comparison_table

NAN = np.nan


@pytest.fixture(scope="module")
def both(
    make_checkpoint: Callable, make_model: Callable, cache: Cache, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Evaluation, Evaluation]:
    """The random model, and one whose separator and transcriptor were changed. Read only."""
    tmp_path = tmp_path_factory.mktemp("both")
    other = make_model()
    with torch.no_grad():
        other.separator.head.weight.mul_(3)
        other.transcriptor.head.weight.mul_(8)
        other.transcriptor.head.bias.zero_()  # else it finds nothing
    results = []
    for name, model in (("a", make_model()), ("b", other)):
        results.append(
            evaluate(open_subject(make_checkpoint(tmp_path / f"{name}.pt", model, str(cache.path), cache.digest)))
        )
    return results[0], results[1]


def test_differences_are_paired(both: tuple[Evaluation, Evaluation]) -> None:
    a, b = both
    result = compare(a, b).figures["si_sdr"]
    values = [
        [record["values"]["separation"][MODEL]["guitar"]["si_sdr"] for record in evaluation.tracks]
        for evaluation in (a, b)
    ]
    gains = np.subtract(values[1], values[0])
    assert np.abs(gains).min() > 0
    assert result["guitar"]["n"] == 3
    assert result["guitar"]["difference"] == pytest.approx(gains.mean())
    assert result["guitar"]["p"] == pytest.approx(scipy.stats.wilcoxon(values[1], values[0]).pvalue)
    low, high = result["guitar"]["interval"]
    assert gains.min() <= low <= gains.mean() <= high <= gains.max()
    assert result["bass"]["n"] == 1 and result["bass"]["interval"] is None
    assert result["piano"]["n"] == 2  # on the third track it plays alone
    assert result[MEAN]["n"] == 3


def test_the_mean_is_over_the_instruments_that_count_on_a_track(both: tuple[Evaluation, Evaluation]) -> None:
    values = both[0].tracks[1]["values"]["separation"][MODEL]
    expected = np.mean([values[name]["si_sdr"] for name in ("piano", "guitar")])
    assert both[0].figures.series("separation", MODEL, "si_sdr", MEAN)[1] == pytest.approx(expected)


def test_what_counts_depends_on_the_truth_alone(both: tuple[Evaluation, Evaluation]) -> None:
    """Frames of an instrument that does not play count for neither, whatever is estimated there."""
    for figure in ("frame_f1", "note_f1", "note_offset_f1"):
        for output in ("transcription", "transcription_separated"):
            series = [evaluation.figures.series(output, MODEL, figure, "bass") for evaluation in both]
            defined = [np.isfinite(values).tolist() for values in series]
            assert defined[0] == defined[1] == [True, False, False]


def test_a_model_against_itself(both: tuple[Evaluation, Evaluation]) -> None:
    result = compare(both[0], both[0]).figures["si_sdr"]["guitar"]
    assert (result["difference"], result["p"], result["interval"]) == (0, 1, [0, 0])


def test_json_and_table(both: tuple[Evaluation, Evaluation], tmp_path: Path) -> None:
    comparison = compare(*both)
    comparison.save(tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["about"]["a"]["path"].endswith("a.pt")
    console = Console(width=300, file=io.StringIO())
    console.print(comparison_table(comparison))
    text = console.file.getvalue()
    assert "SI-SDR, dB" in text and "note F1, separated" in text
    assert max(len(line) for line in text.splitlines() if line[0] in "┃│") <= 100


def test_other_data_is_refused(both: tuple[Evaluation, Evaluation], refused: Any) -> None:
    a, b = both
    other = replace(b, about={**b.about, "cache": {**b.about["cache"], "digest": "x"}})
    with refused(Mismatch):
        compare(a, other)
    with refused(Mismatch):
        compare(a, replace(b, tracks=b.tracks[1:]))


def test_wilcoxon_by_hand() -> None:
    """Ranks 1 to 6, all but the smallest difference positive: 2 of the 64 signs give a rank sum of at most 1, twice."""
    differences = np.array([-0.1, 0.2, 0.3, 0.4, 0.5, 0.6, NAN])
    result = paired(np.ones(7), 1 + differences)
    assert result is not None
    assert (result["n"], result["p"]) == (6, pytest.approx(4 / 64))
    assert (result["a"], result["b"]) == (1, pytest.approx(1 + 1.9 / 6))
    assert result["difference"] == pytest.approx(1.9 / 6)
    assert result["median_difference"] == pytest.approx(0.35)
    low, high = result["interval"]
    assert low < result["difference"] < high


def test_pairs_by_hand() -> None:
    result = paired(np.array([1.0, 2.0, NAN, 4.0]), np.array([2.0, 4.0, 9.0, NAN]))
    assert (result["n"], result["a"], result["b"], result["difference"]) == (2, 1.5, 3.0, 1.5)


def test_no_difference_and_no_pair() -> None:
    result = paired(np.ones(5), np.ones(5))
    assert result is not None and (result["difference"], result["p"], result["interval"]) == (0, 1, [0, 0])
    assert paired(np.array([NAN]), np.array([1.0])) is None
    one = paired(np.array([0.5]), np.array([1.0]))
    assert one is not None and one["interval"] is None and one["p"] == pytest.approx(1.0)
