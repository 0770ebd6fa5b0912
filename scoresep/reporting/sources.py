"""What a report is made from: a run's folder, an evaluation, a checkpoint, and what they lead to.

One thing leads to the next: an evaluation names its checkpoint and its cache, a run holds the checkpoints of its
stages, a checkpoint names its cache. What the user named must exist; what was only found by such
a hint may be gone (a run that was copied from elsewhere): then the page says what it lacks, and why.

The log of a run holds each loss by itself, unweighted. Their weighted sum, which is what a stage minimises, is written
down for validation only; for training it is made here from the weights in the stage's checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scoresep.cache.reader import Cache
from scoresep.errors import Damaged, InvalidValue, NotFound, NothingToDo, ScoresepError, WrongFormat, first_line
from scoresep.evaluation.evaluate import Evaluation, open_cache
from scoresep.files import sha256_of
from scoresep.models.checkpoint import Checkpoint, is_checkpoint, load_checkpoint
from scoresep.models.networks import ROLES
from scoresep.training.log import LOG_NAME, read_log
from scoresep.training.run import stage_path
from scoresep.training.stages import STAGES

DEFAULT_SPLIT = "test"
USUAL_SOURCES = (Path("run"), Path("metrics.json"))
"""What is looked for in the working folder if nothing is named."""
TOTAL_LOSS = "total"
LARGEST_LOSS = 1e15
"""Steps and losses beyond it are faults of the file."""
POINTS = 240
"""Points of a training curve that are drawn at most; each is the mean of its neighbourhood."""


@dataclass
class Material:
    """What the page is made from; None for what there is not.

    Attributes:
        run: folder of a training run.
        stages: the run's checkpoints by stage.
        evaluation: figures, and the file they came from.
        checkpoint: the model to hear, and its file.
        cache: where the tracks are.
        split: part of the cache whose tracks are shown.
        notes: what a reader should know about all this.
    """

    run: Path | None = None
    stages: dict[int, Checkpoint] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    evaluation_path: Path | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_path: Path | None = None
    cache: Cache | None = None
    split: str = DEFAULT_SPLIT
    notes: list[str] = field(default_factory=list)


def gather(
    paths: Sequence[Path], checkpoint: Path | None = None, cache: Path | None = None, split: str | None = None
) -> Material:
    """Open what was named and what it leads to.

    Args:
        paths: a run's folder, a `metrics.json`, a checkpoint: one of each at most; none: the `USUAL_SOURCES` ones.
        checkpoint, cache, split: the user's choice instead of what the rest leads to.

    Raises:
        ScoresepError: nothing to report on, or what was named is missing, unreadable or does not fit.
    """
    kinds: dict[str, Path] = {}
    for path in paths or [path for path in USUAL_SOURCES if path.exists()]:
        kind = kind_of(path)
        if kind in kinds:
            problem = f"{kinds[kind]} and {path} are two of a kind ({kind})"
            raise InvalidValue(problem, remedy="name one; a report shows one")
        kinds[kind] = path
    if checkpoint:
        kinds["checkpoint"] = checkpoint
    if not kinds:
        problem = "there is neither run/ nor metrics.json here"
        raise NothingToDo(problem, remedy="name a run's folder or a metrics.json")
    material = Material(run=kinds.get("run"))
    if material.run:
        material.stages = read_stages(material.run, material.notes)
    if metrics := kinds.get("evaluation"):
        material.evaluation, material.evaluation_path = Evaluation.read(metrics), metrics
    choose_checkpoint(material, kinds.get("checkpoint"))
    choose_cache(material, cache)
    choose_split(material, split)
    return material


def kind_of(path: Path) -> str:
    """What a path is: `run`, `evaluation` or `checkpoint`.

    Raises:
        NotFound, WrongFormat: it does not exist, or is none of these.
    """
    if not path.exists():
        raise NotFound("does not exist", file=path, remedy="give a run's folder, a metrics.json or a checkpoint")
    if path.is_dir():
        if not (path / LOG_NAME).is_file():
            problem = f"no run: it holds no {LOG_NAME}"
            raise WrongFormat(problem, file=path, remedy="give the --run folder of `scoresep train`")
        return "run"
    return "checkpoint" if is_checkpoint(path) else "evaluation"


def read_stages(run: Path, notes: list[str]) -> dict[int, Checkpoint]:
    """The checkpoints of a run's stages; of one that cannot be read, `notes` gets a line."""
    stages = {}
    for number in STAGES:
        path = stage_path(run, number)
        if path.exists():
            try:
                stages[number] = load_checkpoint(path)
            except ScoresepError as fault:
                notes.append(f"{fault}.")
    return stages


def choose_checkpoint(material: Material, named: Path | None) -> None:
    """Set the checkpoint: the one that was named, the one that was evaluated, or the run's last stage."""
    if named:
        material.checkpoint, material.checkpoint_path = load_checkpoint(named), named
    elif material.evaluation:
        path = recorded_checkpoint(material)
        if path is None:
            material.notes.append("The checkpoint that was evaluated does not exist any more: no track can be shown.")
            return
        material.checkpoint, material.checkpoint_path = load_checkpoint(path), path
    elif material.stages and material.run:
        last = max(material.stages)
        material.checkpoint, material.checkpoint_path = material.stages[last], stage_path(material.run, last)
    else:
        material.notes.append("The run holds no checkpoint: no track can be shown.")
        return
    if material.checkpoint.stage < 2:
        material.notes.append("The separator has not been trained yet (stage 1): what it makes is chance.")
    if material.evaluation and not was_evaluated(material.checkpoint_path, material.evaluation):
        material.notes.append(
            f"{material.checkpoint_path} is not the checkpoint that was evaluated, or has changed since: "
            "the figures are not about what is played here."
        )


def recorded_checkpoint(material: Material) -> Path | None:
    """Where the evaluated checkpoint is: as written down, beside the evaluation's file, or among the run's stages."""
    assert material.evaluation and material.evaluation_path
    recorded = Path(str(stated(material.evaluation, "checkpoint", "path") or ""))
    beside = material.evaluation_path.parent
    stages = [stage_path(material.run, number) for number in reversed(material.stages)] if material.run else []
    places = [path for path in (recorded, beside / recorded, beside / recorded.name, *stages) if path.is_file()]
    return next((path for path in places if was_evaluated(path, material.evaluation)), places[0] if places else None)


def was_evaluated(path: Path, evaluation: Evaluation) -> bool:
    return bool(sha256_of(path) == stated(evaluation, "checkpoint", "sha256"))


def stated(evaluation: Evaluation | None, part: str, name: str) -> Any:
    """An entry of what an evaluation is about; None where there is none: its file may come from anyone."""
    about = evaluation.about.get(part) if evaluation else None
    return about.get(name) if isinstance(about, dict) else None


def choose_cache(material: Material, named: Path | None) -> None:
    """Set the cache: the one that was named, the one that was evaluated on, or the one of the training."""
    if not material.checkpoint or not material.checkpoint_path:
        return
    hints = (str(stated(material.evaluation, "cache", "path") or ""), material.checkpoint.cache)
    path = named or next((Path(hint) for hint in hints if hint and Path(hint).is_file()), None)
    if path is None:
        material.notes.append("The cache does not exist any more: no track can be shown; name one with --cache.")
    else:
        material.cache = open_cache(material.checkpoint, material.checkpoint_path, path)


def choose_split(material: Material, named: str | None) -> None:
    """Set the split.

    Raises:
        NothingToDo: the named one has no tracks.
    """
    recorded = material.evaluation.about.get("split") if material.evaluation else None
    material.split = named or str(recorded or DEFAULT_SPLIT)
    if material.cache and not len(material.cache.rows(material.split)):
        if named:
            problem = f"no track in the split '{named}'"
            raise NothingToDo(problem, file=material.cache.path, remedy="choose another --split")
        material.notes.append(f"The cache has no track in the split '{material.split}': none is shown.")


@dataclass(frozen=True)
class Curve:
    """A loss over a stage.

    Attributes:
        name: 'network/loss', or `TOTAL_LOSS`.
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
    return (
        isinstance(record, dict)
        and record.get("kind") in ("train", "validation")
        and all(type(record.get(name)) is int and 0 <= record[name] < LARGEST_LOSS for name in ("stage", "step"))
    )


def stage_curves(stage: int, records: list[dict[str, Any]], config: Mapping[str, Any]) -> StageCurves:
    names = list(dict.fromkeys(name for record in records for name in record if "/" in name))
    weights = loss_weights(stage, config)
    sums = [
        {**record, TOTAL_LOSS: weighted(record, weights)} if record["kind"] == "train" else record for record in records
    ]
    total = curve(TOTAL_LOSS, sums)
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
    valid = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST_LOSS
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


def thinned(points: np.ndarray) -> np.ndarray:
    """At most `POINTS` points (K, 2): means of neighbouring ones."""
    if len(points) <= POINTS:
        return points
    return np.stack([part.mean(axis=0) for part in np.array_split(points, POINTS)])
