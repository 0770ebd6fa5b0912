from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoresep.errors import Damaged
from scoresep.reporting.sources import POINTS, loss_weights, read_curves, thinned

CONFIG = {"stage2": {"separator": {"a": 2.0, "b": 0.5, "off": 0.0}, "transcriptor": {"off": 0.0}, "steps": 30}}


def write_log(folder: Path, *records: object) -> Path:
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def entry(kind: str, step: int, a: float, b: float, **more: float) -> dict[str, object]:
    return {"kind": kind, "stage": 2, "step": step, "separator/a": a, "separator/b": b, **more}


def test_the_total_of_training_is_weighted_as_validation_is(tmp_path: Path) -> None:
    log = write_log(tmp_path, entry("train", 10, 3, 4), entry("validation", 10, 1, 1, total=2.5))
    (stage,) = read_curves(log, {2: CONFIG})
    assert (stage.stage, stage.steps) == (2, 10)
    assert stage.total.train.tolist() == [[10, 2 * 3 + 0.5 * 4]]
    assert stage.total.validation.tolist() == [[10, 2.5]]
    assert [curve.name for curve in stage.losses] == ["separator/a", "separator/b"]


def test_without_a_config_only_validation_has_a_total(tmp_path: Path) -> None:
    log = write_log(tmp_path, entry("train", 10, 3, 4), entry("validation", 10, 1, 1, total=2.5))
    (stage,) = read_curves(log, {})
    assert len(stage.total.train) == 0 and len(stage.total.validation) == 1
    (stage,) = read_curves(write_log(tmp_path, entry("train", 10, 3, 4)), {})
    assert stage.total is None


def test_a_real_run_agrees_with_its_own_validation_total(made) -> None:
    """The weights that are read from the checkpoint are those that training summed with."""
    from scoresep.models.checkpoint import load_checkpoint

    stages = {n: load_checkpoint(made.run / f"stage{n}.pt").config for n in (1, 2, 3)}
    result = read_curves(made.run, stages)
    assert [stage.stage for stage in result] == [1, 2, 3]
    for stage in result:
        weights = loss_weights(stage.stage, stages[stage.stage])
        last = {curve.name: curve.validation[-1, 1] for curve in stage.losses}
        assert set(weights) == set(last)
        assert stage.total.validation[-1, 1] == pytest.approx(sum(weights[name] * last[name] for name in last))
        assert len(stage.total.train)


def test_what_is_no_record_is_left_out(tmp_path: Path, refused: Any) -> None:
    log = write_log(
        tmp_path, [1], 7, {"kind": "train"}, {"kind": "train", "stage": "x", "step": 1}, entry("train", 20, math.nan, 1)
    )
    (stage,) = read_curves(log, {})
    assert [len(curve.train) for curve in stage.losses] == [0, 1]
    (tmp_path / "log.jsonl").write_bytes(b"\xff\xfe\x00")
    with refused(Damaged, tmp_path / "log.jsonl"):
        read_curves(tmp_path, {})


def test_long_curves_are_thinned_by_means() -> None:
    points = np.stack([np.arange(10.0 * POINTS), np.arange(10.0 * POINTS) ** 2], axis=1)
    thin = thinned(points)
    assert thin.shape == (POINTS, 2)
    np.testing.assert_allclose(thin[:, 0], points[:, 0].reshape(POINTS, 10).mean(axis=1))
    np.testing.assert_allclose(thin[:, 1], points[:, 1].reshape(POINTS, 10).mean(axis=1))
    assert thinned(points[:POINTS]) is not None and len(thinned(points[:POINTS])) == POINTS
