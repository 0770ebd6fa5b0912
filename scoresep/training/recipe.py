"""Recipes: every setting of a training run, its default and its check. Called by the CLI and the training loop.

The dataclasses below are the one home of defaults; they are the `paper` recipe. A TOML file names what differs.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from scoresep.errors import ScoresepError
from scoresep.files import existing_file
from scoresep.instruments import nearest
from scoresep.losses import OBJECTIVES
from scoresep.models.separator import MASKS
from scoresep.models.tcn import TrunkSettings
from scoresep.training.precision import PRECISIONS
from scoresep.training.supervision import SUPERVISIONS, refused_losses


@dataclass(frozen=True)
class TranscriptorWeights:
    """Weights of the transcriptor's losses; 0 is off.

    Attributes:
        score: H(y, T(X)).
        onset: the same for onsets.
        adversarial_mixture: H(0, T(X~)).
        adversarial_transcription: track i hides part i and shows the others.
    """

    score: float = 0.0
    onset: float = 0.0
    adversarial_mixture: float = 0.0
    adversarial_transcription: float = 0.0


@dataclass(frozen=True)
class SeparatorWeights:
    """Weights of the separator's losses; 0 is off.

    Attributes:
        transcription: L_tr, track i transcribes to part i and to nothing else.
        clip_mixture, frame_mixture, harmonic_mixture: L_mix at the three resolutions of activity.
        literal_harmonic_mixture: the last with silence wanted in bins that no harmonic mask covers.
        adversarial_mixture: H(y~, T(X~)).
        stem: distance to the true stems, for supervision by them.
        teacher: distance to what the teacher makes of mixture and score, for supervision by it.
    """

    transcription: float = 0.0
    clip_mixture: float = 0.0
    frame_mixture: float = 0.0
    harmonic_mixture: float = 0.0
    literal_harmonic_mixture: float = 0.0
    adversarial_mixture: float = 0.0
    stem: float = 0.0
    teacher: float = 0.0


@dataclass(frozen=True)
class StageRecipe:
    """Settings of one stage.

    Attributes:
        steps: optimiser steps.
        learning_rate: its peak, held between a warm-up and a fall to zero (`players.schedule`).
        transcriptor, separator: loss weights of the networks that the stage trains.
        keep: which weights the stage ends with: `last`, or `best` by the validation loss (never by stems).
        objective: what the adversarial losses measure (`losses.OBJECTIVES`).
    """

    steps: int = 0
    learning_rate: float = 1e-3
    transcriptor: TranscriptorWeights = field(default_factory=TranscriptorWeights)
    separator: SeparatorWeights = field(default_factory=SeparatorWeights)
    keep: str = "last"
    objective: str = "cross-entropy"


@dataclass(frozen=True)
class DataRecipe:
    """How clips are drawn.

    Attributes:
        clip_frames: T of a training clip.
        batch: clips a step.
        workers: threads that read and unpack clips beside the steps; 0 does it in between them.
        validation_clips: clips of the validation split that are looked at, at most.
        transpose: training clips are transposed by up to so many semitones either way.
        equalise: training clips are equalised by up to so many decibels either way.
    """

    clip_frames: int = 320
    batch: int = 16
    workers: int = 4
    validation_clips: int = 256
    transpose: int = 3
    equalise: float = 6.0


@dataclass(frozen=True)
class Recipe:
    """All settings of a run.

    Attributes:
        seed: of initial weights, clip order, cross-clip mixtures and the choice of tracks with stems.
        supervision: what the separator learns from (`training.supervision.SUPERVISIONS`): `score` is the method.
        stems_fraction: share of the tracks whose stems are known, for supervision `semi`.
        mask: `softmax` or `sigmoid` (`models.separator.MASKS`).
        share_trunk: start the separator's trunk from the transcriptor's.
        weight_decay: of AdamW.
        gradient_clip: largest norm of a network's gradient.
        precision: `float32`, `bfloat16` or `auto` (`training.precision`).
        validate_every: steps between validations; checkpoints are written then too.
        trunk, data: sizes.
        stage1, stage2, stage3: the stages.
    """

    seed: int = 0
    supervision: str = "score"
    stems_fraction: float = 0.1
    mask: str = "softmax"
    share_trunk: bool = True
    weight_decay: float = 1e-2
    gradient_clip: float = 5.0
    precision: str = "auto"
    validate_every: int = 1000
    trunk: TrunkSettings = field(default_factory=TrunkSettings)
    data: DataRecipe = field(default_factory=DataRecipe)
    stage1: StageRecipe = StageRecipe(
        steps=60_000, learning_rate=2e-3, transcriptor=TranscriptorWeights(score=1.0, onset=1.0), keep="best"
    )
    stage2: StageRecipe = StageRecipe(
        steps=40_000,
        learning_rate=1e-3,
        separator=SeparatorWeights(transcription=20.0, clip_mixture=0.5, harmonic_mixture=5.0),
    )
    stage3: StageRecipe = StageRecipe(
        steps=20_000,
        learning_rate=2e-4,
        transcriptor=TranscriptorWeights(
            score=1.0, onset=1.0, adversarial_mixture=0.05, adversarial_transcription=0.005
        ),
        separator=SeparatorWeights(transcription=20.0, clip_mixture=0.5, harmonic_mixture=5.0, adversarial_mixture=4.0),
    )

    def __post_init__(self) -> None:
        if faults := list(self.faults()):
            raise ScoresepError(f"recipe: {'; '.join(faults)}")

    def faults(self) -> Iterable[str]:
        """What is wrong with the values, all of it."""
        if self.mask not in MASKS:
            yield f"mask '{self.mask}' is unknown{nearest(self.mask, MASKS)}"
        if self.supervision not in SUPERVISIONS:
            yield f"supervision '{self.supervision}' is unknown{nearest(self.supervision, SUPERVISIONS)}"
        if not 0 < self.stems_fraction < 1:
            yield f"stems_fraction is {self.stems_fraction}, not between 0 and 1"
        if self.precision not in PRECISIONS:
            yield f"precision '{self.precision}' is unknown{nearest(self.precision, PRECISIONS)}"
        sizes = {"validate_every": self.validate_every, **asdict(self.trunk), **asdict(self.data)}
        for name, value in sizes.items():
            if value < (0 if name in ("workers", "validation_clips", "transpose", "equalise") else 1):
                yield f"{name} is {value}, too small"
        for name, (value, most) in self.extents().items():
            if value > most:
                yield f"{name} is {value}, beyond any memory; {most} is the most"
        for number, stage in self.stages.items():
            if stage.steps < 0 or stage.learning_rate <= 0:
                yield f"stage{number} needs steps >= 0 and learning_rate > 0"
            if stage.keep not in ("last", "best"):
                yield f"stage{number}.keep is '{stage.keep}', not 'last' or 'best'"
            if stage.objective not in OBJECTIVES:
                yield f"stage{number}.objective '{stage.objective}' is unknown{nearest(stage.objective, OBJECTIVES)}"
            if min((*asdict(stage.transcriptor).values(), *asdict(stage.separator).values())) < 0:
                yield f"stage{number} has a negative loss weight"
            yield from self._refused(number)
        if self.gradient_clip <= 0:
            yield "gradient_clip must be positive"
        if self.weight_decay < 0:
            yield "weight_decay must not be negative"
        if not 0 <= self.seed < 2**32:
            yield f"seed is {self.seed}, not between 0 and 2^32"

    def extents(self) -> dict[str, tuple[int, int]]:
        """What decides the memory of a run, and the most of it: some hundred times what the `paper` recipe takes."""
        trunk, data = self.trunk, self.data
        return {
            "trunk.channels times hidden": (trunk.channels * trunk.hidden, 2**24),
            "data.batch times clip_frames": (data.batch * data.clip_frames, 2**20),
            "data.validation_clips": (data.validation_clips, 2**20),
            "data.workers": (data.workers, 2**10),
        }

    def _refused(self, number: int) -> Iterable[str]:
        """Losses of a stage that have a weight and no meaning under the supervision."""
        for player in ("transcriptor", "separator") if self.supervision in SUPERVISIONS else ():
            weights = asdict(getattr(self.stages[number], player))
            for loss in refused_losses(self.supervision, weights):
                yield (
                    f"stage{number}.{player}.{loss} has no meaning with supervision '{self.supervision}', set it to 0"
                )

    @property
    def stages(self) -> dict[int, StageRecipe]:
        return {1: self.stage1, 2: self.stage2, 3: self.stage3}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with scoresep."""
    folder = resources.files("scoresep.recipes")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name: str, assignments: Iterable[str] = ()) -> Recipe:
    """A shipped recipe by name or a TOML file by path, with `key=value` assignments on top.

    A file may say `base = "..."`: a shipped recipe or another file, beside it, whose settings it changes.

    Raises:
        ScoresepError: unknown recipe or key, broken TOML, a value of the wrong type or out of range.
    """
    values = read_values(name)
    for assignment in assignments:
        assign(values, assignment)
    return build(Recipe, values, starting_point(values.get("supervision", "score")), "")


def read_values(name: str, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The settings that a recipe names, those of its bases included, as nested plain values.

    Args:
        name: a shipped recipe or a TOML file.
        above: the files that have it as their base.
    """
    folder = above[-1].parent if above else Path()
    if name in shipped_recipes():
        path = Path(name)
        text = resources.files("scoresep.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif name.endswith(".toml"):
        path = existing_file(folder / name, "recipe", f"or use a shipped one: {', '.join(shipped_recipes())}")
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as fault:
            raise ScoresepError(f"recipe {name} is not valid TOML: {fault}") from fault
    else:
        raise ScoresepError(
            f"unknown recipe '{name}'{nearest(name, shipped_recipes())} (a recipe of your own ends in .toml)"
        )
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # besides TOML's own: a number of 5000 digits, brackets without end
        raise ScoresepError(f"recipe {name} is not valid TOML: {fault}") from fault
    if "base" not in values:
        return values
    base = values.pop("base")
    if not isinstance(base, str) or path.resolve() in [file.resolve() for file in above]:
        raise ScoresepError(f"recipe {name}: base = {base!r} is not the name of another recipe")
    return overlay(read_values(base, (*above, path)), values)


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with those of `over` in place of, or beside, those of `under`."""
    both = {
        name: overlay(under[name], value) if isinstance(value, Mapping) and isinstance(under[name], Mapping) else value
        for name, value in over.items()
        if name in under
    }
    return {**under, **over, **both}


def starting_point(supervision: Any) -> Recipe:
    """The defaults under a supervision: losses without meaning are off, the separator has the row's weights."""
    row, recipe = SUPERVISIONS.get(supervision) if isinstance(supervision, str) else None, Recipe()
    if row is None:
        return recipe  # `build` says what is wrong
    changes: dict[str, Any] = {}
    for number, stage in recipe.stages.items():
        weights = asdict(stage.separator) | (row.weights if any(asdict(stage.separator).values()) else {})
        changes[f"stage{number}"] = dataclasses.replace(
            stage,
            separator=SeparatorWeights(**_allowed(weights, row.refused)),
            transcriptor=TranscriptorWeights(**_allowed(asdict(stage.transcriptor), row.refused)),
        )
    return dataclasses.replace(recipe, supervision=supervision, **changes)


def _allowed(weights: Mapping[str, float], refused: Iterable[str]) -> dict[str, float]:
    return {name: 0.0 if name in refused else weight for name, weight in weights.items()}


def assign(values: dict[str, Any], assignment: str) -> None:
    """Apply 'stage2.separator.clip_mixture=0.5' to nested values in place."""
    path, equals, literal = assignment.partition("=")
    if not equals or not path.strip():
        raise ScoresepError(f"--set '{assignment}' is not of the form key=value, such as data.batch=16")
    try:
        value = tomllib.loads(f"value = {literal}")["value"]
    except (ValueError, RecursionError):
        value = literal.strip()
    *tables, key = path.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ScoresepError(f"--set '{assignment}': '{table}' is a value, not a table")
    values[key] = value


def build(kind: type, values: Mapping[str, Any], base: Any, prefix: str) -> Any:
    """An instance of dataclass `kind` from nested plain values; what they leave out comes from `base`."""
    hints = get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind)]
    changes = {}
    for name, value in values.items():
        if name not in known:
            raise ScoresepError(f"unknown setting '{prefix}{name}'{nearest(name, known)}")
        if dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                raise ScoresepError(f"setting '{prefix}{name}' is a table, not {value!r}")
            changes[name] = build(hints[name], value, getattr(base, name), f"{prefix}{name}.")
        else:
            changes[name] = coerce(value, hints[name], f"{prefix}{name}")
    return dataclasses.replace(base, **changes)


def coerce(value: Any, kind: type, name: str) -> Any:
    """`value` as `kind`; an int serves as a float, a whole float does not serve as an int."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1023 else math.inf
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ScoresepError(f"setting '{name}' must be a finite number, not {value}")
    if type(value) is not kind:
        raise ScoresepError(f"setting '{name}' must be of type {kind.__name__}, not {value!r}")
    return value
