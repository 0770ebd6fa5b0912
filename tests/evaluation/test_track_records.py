"""Parallel and interrupted evaluations: the result is that of one process that was never stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scoresep.evaluation import track_records
from scoresep.evaluation.evaluate import evaluate, open_subject
from scoresep.evaluation.track_records import EvaluationSettings


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that were computed; the real function does the work."""
    rows: list[int] = []
    real = track_records.evaluate_track

    def noted(cache, row, *rest):
        rows.append(row)
        return real(cache, row, *rest)

    monkeypatch.setattr(track_records, "evaluate_track", noted)
    return rows


@pytest.mark.integration
def test_the_result_does_not_depend_on_the_number_of_processes(checkpoint_path: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        evaluate(open_subject(checkpoint_path, settings=EvaluationSettings(bss=True)), jobs=jobs).save(
            tmp_path / f"{jobs}.json"
        )
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


def test_the_result_does_not_depend_on_threads(checkpoint_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(evaluate(open_subject(checkpoint_path)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert results[0] == results[1]


def test_a_stopped_evaluation_goes_on(checkpoint_path: Path, tmp_path: Path, computed: list[int]) -> None:
    whole = evaluate(open_subject(checkpoint_path))
    computed.clear()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(open_subject(checkpoint_path), progress=stop, keep=tmp_path / "keep")
    assert len(computed) == 1
    seen: list[int] = []
    again = evaluate(
        open_subject(checkpoint_path), progress=lambda done, total: seen.append(done), keep=tmp_path / "keep"
    )
    assert len(computed) == 3 == len(set(computed))
    assert seen == [1, 2, 3]
    assert again == whole
    track_records.remove_kept(tmp_path / "keep")
    assert not (tmp_path / "keep").exists()


@pytest.mark.parametrize("content", ["", '{"track": "ful', '{"track": "another"}', "[1]"])
def test_a_damaged_part_is_computed_anew(
    checkpoint_path: Path, tmp_path: Path, computed: list[int], content: str
) -> None:
    whole = evaluate(open_subject(checkpoint_path, settings=EvaluationSettings("validation")), keep=tmp_path / "keep")
    first, second = sorted((tmp_path / "keep").rglob("*.json"))
    assert json.loads(second.read_text())["track"] == "v2"
    first.write_text(content)
    computed.clear()
    assert (
        evaluate(open_subject(checkpoint_path, settings=EvaluationSettings("validation")), keep=tmp_path / "keep")
        == whole
    )
    assert len(computed) == 1


def test_parts_of_another_evaluation_are_not_taken(
    checkpoint_path: Path, tmp_path: Path, computed: list[int], make_checkpoint: Callable, make_model: Callable, cache
) -> None:
    """Of the same file name, with other weights; and of other settings."""
    before = evaluate(open_subject(checkpoint_path, settings=EvaluationSettings("validation")), keep=tmp_path / "keep")
    model = make_model()
    with torch.no_grad():
        model.separator.head.weight.mul_(3)
    make_checkpoint(checkpoint_path, model, str(cache.path), cache.digest)
    computed.clear()
    after = evaluate(open_subject(checkpoint_path, settings=EvaluationSettings("validation")), keep=tmp_path / "keep")
    assert len(computed) == 2
    assert after.tracks != before.tracks
    evaluate(
        open_subject(checkpoint_path, settings=EvaluationSettings("validation", references=())), keep=tmp_path / "keep"
    )
    assert len(computed) == 4
    assert len([*(tmp_path / "keep").iterdir()]) == 1  # the others were stale
