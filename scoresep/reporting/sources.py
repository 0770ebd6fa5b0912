"""What a report is made from: a run's folder, an evaluation, a checkpoint, and what they lead to.

One thing leads to the next: an evaluation names its checkpoint and its cache, a run holds the checkpoints of its
stages, a checkpoint names its cache. What the user named must exist; what was only found by such
a hint may be gone (a run that was copied from elsewhere): then the page says what it lacks, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scoresep.cache.reader import Cache
from scoresep.errors import InvalidValue, NotFound, NothingToDo, ScoresepError, WrongFormat
from scoresep.evaluation.evaluate import Evaluation, open_cache
from scoresep.files import sha256_of
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
    kinds = paths_by_kind(paths or [path for path in USUAL if path.exists()])
    if checkpoint:
        kinds["checkpoint"] = checkpoint
    if not kinds:
        problem = "there is neither run/ nor metrics.json here"
        raise NothingToDo(problem, remedy="name a run's folder or a metrics.json")
    material = Material(run=kinds.get("run"))
    if material.run:
        material.stages = read_stages(material.run, material.notes)
    if path := kinds.get("evaluation"):
        material.evaluation, material.evaluation_path = Evaluation.read(path), path
    choose_checkpoint(material, kinds.get("checkpoint"))
    choose_cache(material, cache)
    choose_split(material, split)
    return material


def paths_by_kind(paths: Sequence[Path]) -> dict[str, Path]:
    """Which path is what: `run`, `evaluation`, `checkpoint`.

    Raises:
        ScoresepError: as `kind_of`.
        InvalidValue: two are of a kind.
    """
    kinds: dict[str, Path] = {}
    for path in paths:
        kind = kind_of(path)
        if kind in kinds:
            problem = f"{kinds[kind]} and {path} are two of a kind ({kind})"
            raise InvalidValue(problem, remedy="name one; a report shows one")
        kinds[kind] = path
    return kinds


def kind_of(path: Path) -> str:
    """`run`, `evaluation` or `checkpoint`.

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
    about = material.evaluation.about.get("checkpoint")
    recorded = Path(str(about.get("path", ""))) if isinstance(about, dict) else Path()
    beside = material.evaluation_path.parent
    stages = [stage_path(material.run, number) for number in reversed(material.stages)] if material.run else []
    places = [path for path in (recorded, beside / recorded, beside / recorded.name, *stages) if path.is_file()]
    return next((path for path in places if was_evaluated(path, material.evaluation)), places[0] if places else None)


def was_evaluated(path: Path, evaluation: Evaluation) -> bool:
    """Whether the file at `path` has the content that was evaluated."""
    about = evaluation.about.get("checkpoint")
    stated = about.get("sha256") if isinstance(about, dict) else None
    return sha256_of(path) == stated


def choose_cache(material: Material, named: Path | None) -> None:
    """Set the cache: the one that was named, the one that was evaluated on, or the one of the training."""
    if not material.checkpoint or not material.checkpoint_path:
        return
    path = named
    if path is None:
        about = material.evaluation.about.get("cache") if material.evaluation else None
        hints = [str(about.get("path", ""))] if isinstance(about, dict) else []
        path = next((Path(hint) for hint in (*hints, material.checkpoint.cache) if hint and Path(hint).is_file()), None)
        if path is None:
            material.notes.append("The cache does not exist any more: no track can be shown; name one with --cache.")
            return
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
