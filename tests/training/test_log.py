"""The record of a run."""

from __future__ import annotations

from scoresep.training.log import LOG_NAME, TIMING_NAME, RunLog, read_log


def test_records_come_back_and_reach_tensorboard(tmp_path):
    log = RunLog(tmp_path / "run")
    log.record("train", 1, 10, {"transcriptor/score": 0.5})
    log.record("validation", 1, 10, {"total": 0.25})
    log.close()
    assert read_log(tmp_path / "run") == [
        {"kind": "train", "stage": 1, "step": 10, "transcriptor/score": 0.5},
        {"kind": "validation", "stage": 1, "step": 10, "total": 0.25},
    ]
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_a_run_goes_on_in_the_same_file(tmp_path):
    for step in (1, 2):
        log = RunLog(tmp_path)
        log.record("train", 1, step, {})
        log.close()
    assert [record["step"] for record in read_log(tmp_path)] == [1, 2]


def test_rewinding_forgets_what_will_be_made_again(tmp_path):
    log = RunLog(tmp_path)
    for stage, step in ((1, 10), (1, 20), (2, 10), (2, 20), (3, 10)):
        log.record("train", stage, step, {})
    log.rewind(2, 10)
    log.record("train", 2, 11, {})
    log.close()
    expected = [(1, 10), (1, 20), (2, 10), (3, 10), (2, 11)]
    assert [(record["stage"], record["step"]) for record in read_log(tmp_path)] == expected


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path):
    (tmp_path / LOG_NAME).write_text('{"stage": 1, "step": 1}\n{"stage": 1, "st')
    assert read_log(tmp_path) == [{"stage": 1, "step": 1}]
    assert read_log(tmp_path / "none") == []


def test_times_are_kept_apart_from_what_was_computed(tmp_path):
    log = RunLog(tmp_path)
    log.record("train", 1, 10, {"a": 1.0})
    log.timing(1, 10, 0.002, 0.008)
    log.timing(1, 20, 0.001, 0.002)
    log.rewind(1, 10)
    log.close()
    assert read_log(tmp_path, TIMING_NAME) == [
        {"stage": 1, "step": 10, "ms/waiting": 2.0, "ms/step": 8.0, "waiting": 0.25}
    ]
    assert read_log(tmp_path) == [{"kind": "train", "stage": 1, "step": 10, "a": 1.0}]
