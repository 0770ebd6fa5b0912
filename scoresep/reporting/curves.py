"""The losses of a run, read from its log.

The log holds each loss by itself, unweighted. Their weighted sum, which is what a stage minimises, is written down for
validation only; for training it is made here from the weights in the stage's checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoresep.errors import Damaged, first_line
from scoresep.models.networks import ROLES
from scoresep.training.log import LOG_NAME, read_log

TOTAL = "total"
LARGEST = 1e15
"""Steps and losses beyond it are faults of the file."""
POINTS = 240
"""Points of a training curve that are drawn at most; each is the mean of its neighbourhood."""


@dataclass(frozen=True)
class Curve:
    """A loss over a stage.

    Attributes:
        name: 'network/loss', or `TOTAL`.
        train, validation: float64 (K, 2), step and value, ordered by step.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class StageCurves:
    """What a stage minimised, and the losses that it is made of."""

    stage: int
    steps: int
    total: Curve | None
    losses: tuple[Curve, ...]


def read_curves(run: Path, configs: Mapping[int, Mapping[str, Any]]) -> list[StageCurves]:
    """The curves of each stage in a run's log.

    Args:
        configs: config of each stage whose checkpoint is known, as plain values.

    Raises:
        Damaged: the log cannot be read.
    """
    log, remedy = run / LOG_NAME, "give the folder of another run"
    try:
        entries = read_log(run)
        foreign = not entries and log.exists() and log.stat().st_size
    except OSError as fault:
        raise Damaged(f"the log cannot be read ({first_line(fault)})", file=log, remedy=remedy) from fault
    if foreign:
        raise Damaged("the log cannot be read (no line is a record)", file=log, remedy=remedy)
    records = [record for record in entries if well_formed(record)]
    return [
        stage_curves(stage, [record for record in records if record["stage"] == stage], configs.get(stage, {}))
        for stage in sorted({record["stage"] for record in records})
    ]


def well_formed(record: Any) -> bool:
    """Whether a line of the log is a record of losses."""
    return (
        isinstance(record, dict)
        and record.get("kind") in ("train", "validation")
        and all(type(record.get(name)) is int and 0 <= record[name] < LARGEST for name in ("stage", "step"))
    )


def stage_curves(stage: int, records: list[dict[str, Any]], config: Mapping[str, Any]) -> StageCurves:
    """The curves of one stage from its records."""
    names = list(dict.fromkeys(name for record in records for name in record if "/" in name))
    weights = loss_weights(stage, config)
    sums = [{**record, TOTAL: weighted(record, weights)} if record["kind"] == "train" else record for record in records]
    total = curve(TOTAL, sums)
    return StageCurves(
        stage,
        max(record["step"] for record in records),
        total if len(total.train) or len(total.validation) else None,
        tuple(curve(name, records) for name in names),
    )


def loss_weights(stage: int, config: Mapping[str, Any]) -> dict[str, float]:
    """Weights of a stage by 'network/loss', those of 0 left out; empty where the config does not tell."""
    settings = config.get(f"stage{stage}")
    tables = settings if isinstance(settings, Mapping) else {}
    return {
        f"{role}/{loss}": number(weight)
        for role in ROLES
        if isinstance(tables.get(role), Mapping)
        for loss, weight in tables[role].items()
        if isinstance(weight, (int, float)) and weight
    }


def weighted(record: Mapping[str, Any], weights: Mapping[str, float]) -> float:
    """The weighted sum of a record's losses; NaN if it lacks one, or no weight is known."""
    values = [weight * number(record.get(name)) for name, weight in weights.items()]
    return sum(values) if values else math.nan


def number(value: Any) -> float:
    """A float; NaN for what is none, or absurd."""
    valid = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST
    return float(value) if valid else math.nan


def curve(name: str, records: list[dict[str, Any]]) -> Curve:
    """One loss; values that are not finite are left out."""
    points: dict[str, list[tuple[int, float]]] = {"train": [], "validation": []}
    for record in records:
        value = number(record.get(name))
        if math.isfinite(value):
            points[record["kind"]].append((record["step"], value))
    train, validation = (np.array(sorted(each), dtype=np.float64).reshape(-1, 2) for each in points.values())
    return Curve(name, thinned(train), validation)


def thinned(points: np.ndarray, most: int = POINTS) -> np.ndarray:
    """At most `most` points (K, 2): means of neighbouring ones."""
    if len(points) <= most:
        return points
    return np.stack([part.mean(axis=0) for part in np.array_split(points, most)])
