"""Configs: every setting of a training run, its default and its check.
The dataclasses below are the one home of defaults; they are the `paper` config.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scoresep.errors import ScoresepError
from scoresep.instruments import nearest
from scoresep.losses.formulas import OBJECTIVES
from scoresep.losses.table import LOSSES
from scoresep.models.base import MASKS, Settings
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings
from scoresep.training.stages import SUPERVISIONS

PRECISIONS = ("auto", "float32", "bfloat16")
"""What the networks' products are computed in (`trainer.choose_precision`)."""

Weights = dict[str, float]
"""Weights of a player's losses (`terms.LOSSES`) by name; 0 is off."""


@dataclass(frozen=True)
class StageConfig:
    """Settings of one stage.

    Attributes:
        steps: optimiser steps.
        learning_rate: its peak, held between a warm-up and a fall to zero (`players.schedule`).
        transcriptor, separator: loss weights of the networks that the stage trains; losses not named are off.
        keep: which weights the stage ends with: `last`, or `best` by the validation loss (never by stems).
        objective: what the adversarial losses measure (`losses.OBJECTIVES`).
    """

    steps: int = 0
    learning_rate: float = 1e-3
    transcriptor: Weights = field(default_factory=dict)
    separator: Weights = field(default_factory=dict)
    keep: str = "last"
    objective: str = "cross-entropy"

    def __post_init__(self) -> None:
        for player in LOSSES:
            object.__setattr__(self, player, all_weights(player, self.weights[player]))

    @property
    def weights(self) -> dict[str, Weights]:
        """Loss weights by player."""
        return {"transcriptor": self.transcriptor, "separator": self.separator}


def all_weights(player: str, named: Mapping[str, float]) -> Weights:
    """Weights of all losses of a player, in the table's order: 0 for those that are not named.

    Raises:
        ScoresepError: a loss that is not in the table.
    """
    for name in named:
        if name not in LOSSES[player]:
            raise ScoresepError(f"the {player} has no loss '{name}'{nearest(name, LOSSES[player])}")
    return {name: named.get(name, 0.0) for name in LOSSES[player]}


@dataclass(frozen=True)
class DataConfig:
    """How clips are drawn.

    Attributes:
        clip_frames: T of a training clip.
        batch_size: clips a step.
        workers: threads that read and unpack clips beside the steps; 0 does it in between them.
        validation_clips: clips of the validation split that are looked at, at most.
        transpose: training clips are transposed by up to so many semitones either way.
        equalise: training clips are equalised by up to so many decibels either way.
    """

    clip_frames: int = 320
    batch_size: int = 16
    workers: int = 4
    validation_clips: int = 256
    transpose: int = 3
    equalise: float = 6.0


@dataclass(frozen=True)
class Config:
    """All settings of a run.

    Attributes:
        seed: of initial weights, clip order, cross-clip mixtures and the choice of tracks with stems.
        supervision: what the separator learns from (`training.supervision.SUPERVISIONS`): `score` is the method.
        stems_fraction: share of the tracks whose stems are known, for supervision `semi`.
        mask: `softmax` or `sigmoid` (`models.base.MASKS`).
        share_trunk: start the separator from the transcriptor where both are of one network and size that can.
        weight_decay: of AdamW.
        gradient_clip: largest norm of a network's gradient.
        precision: `float32`, `bfloat16` or `auto` (`training.precision`).
        validate_every: steps between validations; checkpoints are written then too.
        transcriptor, separator: which networks they are, by their settings (`models.networks.NETWORKS`).
        data: how clips are drawn.
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
    transcriptor: Settings = field(default_factory=TCNSettings)
    separator: Settings = field(default_factory=TCNSettings)
    data: DataConfig = field(default_factory=DataConfig)
    stage1: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=60_000, learning_rate=2e-3, transcriptor={"score": 1.0, "onset": 1.0}, keep="best"
        )
    )
    stage2: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=40_000,
            learning_rate=1e-3,
            separator={"transcription": 20.0, "clip_mixture": 0.5, "harmonic_mixture": 5.0},
        )
    )
    stage3: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=20_000,
            learning_rate=2e-4,
            transcriptor={"score": 1.0, "onset": 1.0, "adversarial_mixture": 0.05, "adversarial_transcription": 0.005},
            separator={"transcription": 20.0, "clip_mixture": 0.5, "harmonic_mixture": 5.0, "adversarial_mixture": 4.0},
        )
    )

    def __post_init__(self) -> None:
        if faults := list(self.faults()):
            raise ScoresepError(f"config: {'; '.join(faults)}")

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
        sizes = {"validate_every": self.validate_every, **asdict(self.data)}
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
            if any(weight < 0 for weights in stage.weights.values() for weight in weights.values()):
                yield f"stage{number} has a negative loss weight"
            yield from self._refused(number)
        if self.gradient_clip <= 0:
            yield "gradient_clip must be positive"
        if self.weight_decay < 0:
            yield "weight_decay must not be negative"
        if not 0 <= self.seed < 2**32:
            yield f"seed is {self.seed}, not between 0 and 2^32"

    def extents(self) -> dict[str, tuple[int, int]]:
        """What decides the memory of a run, and the most of it: some hundred times what the `paper` config takes."""
        data = self.data
        return {
            "data.batch_size times clip_frames": (data.batch_size * data.clip_frames, 2**20),
            "data.validation_clips": (data.validation_clips, 2**20),
            "data.workers": (data.workers, 2**10),
        }

    def _refused(self, number: int) -> Iterable[str]:
        """Losses of a stage that have a weight and no meaning under the supervision."""
        for player, weights in self.stages[number].weights.items() if self.supervision in SUPERVISIONS else ():
            for loss in SUPERVISIONS[self.supervision].meaningless(player):
                if weights[loss]:
                    name = f"stage{number}.{player}.{loss}"
                    yield f"{name} has no meaning with supervision '{self.supervision}', set it to 0"

    @property
    def architecture(self) -> Architecture:
        """Both networks."""
        return Architecture(self.transcriptor, self.separator)

    @property
    def stages(self) -> dict[int, StageConfig]:
        return {1: self.stage1, 2: self.stage2, 3: self.stage3}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | self.architecture.to_dict()
