"""What a report is made from: a run's folder, an evaluation, a checkpoint, and what they lead to.

One thing leads to the next: an evaluation names its checkpoint and its cache, a run holds the checkpoints of its
stages, a checkpoint names its cache. What was named by the user must be there; what was only found by such
a hint may be gone (a run that was copied from elsewhere): then the page says what it lacks, and why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.evaluation.evaluate import Evaluation, open_cache
from scoresep.models.checkpoint import Checkpoint, is_checkpoint, load_checkpoint
from scoresep.training.log import LOG_NAME
from scoresep.training.run import stage_path
from scoresep.training.stages import STAGES

DEFAULT_SPLIT = "test"
USUAL = (Path("run"), Path("metrics.json"))
"""What is looked for in the working folder if nothing is named."""


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
        paths: a run's folder, a `metrics.json`, a checkpoint: one of each at most; none: the `USUAL` ones.
        checkpoint, cache, split: the user's choice instead of what the rest leads to.

    Raises:
        ScoresepError: nothing to report on, or what was named is missing, unreadable or does not fit.
    """
    kinds = sorted_out(paths or [path for path in USUAL if path.exists()])
    if checkpoint:
        kinds["checkpoint"] = checkpoint
    if not kinds:
        raise ScoresepError("there is neither run/ nor metrics.json here; name a run's folder or a metrics.json")
    found = Material(run=kinds.get("run"))
    if found.run:
        found.stages = read_stages(found.run, found.notes)
    if path := kinds.get("evaluation"):
        found.evaluation, found.evaluation_path = Evaluation.read(path), path
    choose_checkpoint(found, kinds.get("checkpoint"))
    choose_cache(found, cache)
    choose_split(found, split)
    return found


def sorted_out(paths: Sequence[Path]) -> dict[str, Path]:
    """Which path is what: `run`, `evaluation`, `checkpoint`.

    Raises:
        ScoresepError: one is none of these, or there are two of a kind.
    """
    kinds: dict[str, Path] = {}
    for path in paths:
        kind = kind_of(path)
        if kind in kinds:
            raise ScoresepError(f"{kinds[kind]} and {path} are two of a kind ({kind}); a report shows one")
        kinds[kind] = path
    return kinds


def kind_of(path: Path) -> str:
    """`run`, `evaluation` or `checkpoint`.

    Raises:
        ScoresepError: it is none of these.
    """
    if not path.exists():
        raise ScoresepError(f"{path} does not exist; give a run's folder, a metrics.json or a checkpoint")
    if path.is_dir():
        if not (path / LOG_NAME).is_file():
            raise ScoresepError(f"{path} is no run: it holds no {LOG_NAME}; give the --run folder of `scoresep train`")
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


def choose_checkpoint(found: Material, named: Path | None) -> None:
    """Set the checkpoint: the one that was named, the one that was evaluated, or the run's last stage."""
    if named:
        found.checkpoint, found.checkpoint_path = load_checkpoint(named), named
    elif found.evaluation:
        path = recorded_checkpoint(found)
        if path is None:
            found.notes.append("The checkpoint that was evaluated is not there any more: no track can be shown.")
            return
        found.checkpoint, found.checkpoint_path = load_checkpoint(path), path
    elif found.stages and found.run:
        last = max(found.stages)
        found.checkpoint, found.checkpoint_path = found.stages[last], stage_path(found.run, last)
    else:
        found.notes.append("The run holds no checkpoint: no track can be shown.")
        return
    if found.checkpoint.stage < 2:
        found.notes.append("The separator has not been trained yet (stage 1): what it makes is chance.")
    if found.evaluation and not same_file(found.checkpoint_path, found.evaluation):
        found.notes.append(
            f"{found.checkpoint_path} is not the checkpoint that was evaluated, or has changed since: "
            "the figures are not about what is heard here."
        )


def recorded_checkpoint(found: Material) -> Path | None:
    """Where the evaluated checkpoint is: as written down, beside the evaluation's file, or among the run's stages."""
    assert found.evaluation and found.evaluation_path
    about = found.evaluation.about.get("checkpoint")
    recorded = Path(str(about.get("path", ""))) if isinstance(about, dict) else Path()
    beside = found.evaluation_path.parent
    stages = [stage_path(found.run, number) for number in reversed(found.stages)] if found.run else []
    places = [path for path in (recorded, beside / recorded, beside / recorded.name, *stages) if path.is_file()]
    return next((path for path in places if same_file(path, found.evaluation)), places[0] if places else None)


def same_file(path: Path, evaluation: Evaluation) -> bool:
    """Whether the file at `path` has the content that was evaluated."""
    about = evaluation.about.get("checkpoint")
    stated = about.get("sha256") if isinstance(about, dict) else None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == stated


def choose_cache(found: Material, named: Path | None) -> None:
    """Set the cache: the one that was named, the one that was evaluated on, or the one of the training."""
    if not found.checkpoint or not found.checkpoint_path:
        return
    path = named
    if path is None:
        about = found.evaluation.about.get("cache") if found.evaluation else None
        hints = [str(about.get("path", ""))] if isinstance(about, dict) else []
        path = next((Path(hint) for hint in (*hints, found.checkpoint.cache) if hint and Path(hint).is_file()), None)
        if path is None:
            found.notes.append("The cache is not there any more: no track can be shown; name one with --cache.")
            return
    found.cache = open_cache(found.checkpoint, found.checkpoint_path, path)


def choose_split(found: Material, named: str | None) -> None:
    """Set the split.

    Raises:
        ScoresepError: the named one has no tracks.
    """
    recorded = found.evaluation.about.get("split") if found.evaluation else None
    found.split = named or str(recorded or DEFAULT_SPLIT)
    if found.cache and not len(found.cache.rows(found.split)):
        if named:
            raise ScoresepError(f"{found.cache.path} has no track in the split '{named}'; choose another --split")
        found.notes.append(f"The cache has no track in the split '{found.split}': none is shown.")
