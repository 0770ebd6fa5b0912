"""Configs: every setting of a training run, its default and what it may be.

The dataclasses below are the one home of defaults; they are the `paper` config.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from scoresep.errors import InvalidValue
from scoresep.grid import HIGHEST_RATE, Grid
from scoresep.instruments import nearest
from scoresep.losses.batch import TEACHER
from scoresep.losses.formulas import OBJECTIVES
from scoresep.losses.table import LOSSES
from scoresep.models.base import MASKS, Settings
from scoresep.models.networks import DEFAULT, Architecture
from scoresep.training.stages import SUPERVISIONS
from scoresep.training.weighting import WEIGHTINGS

PRECISIONS = ("auto", "float32", "bfloat16")
"""What the networks' products are computed in (`trainer.choose_precision`)."""
MOST_FRAMES = 2**20
"""Frames of a batch: some hundred times what the `paper` config takes, and beyond any memory."""
LEAST_BANDWIDTH = 1000
"""Hz."""

Weights = dict[str, float]
"""Weights of a network's losses (`losses.table.LOSSES`) by name; 0 is off."""


def limits(
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    choices: Collection[str] = (),
) -> dict[str, Any]:
    """What a field may be, as its metadata; of weights the limits are those of each."""
    return {"least": least, "most": most, "above": above, "below": below, "choices": choices}


@dataclass(frozen=True)
class StageConfig:
    """Settings of one stage.

    Attributes:
        steps: optimiser steps.
        learning_rate: its peak, held between a warm-up and a fall to zero (`stages.schedule`).
        transcriptor, separator: loss weights of the networks that the stage trains; losses not named are off.
        keep: which weights the stage ends with: `last`, or `best` by the validation loss (never by stems).
        objective: what the adversarial losses measure (`losses.formulas.OBJECTIVES`).

    Raises:
        InvalidValue: a weight is of a loss that is not in the table.
    """

    steps: int = field(default=0, metadata=limits(least=0))
    learning_rate: float = field(default=1e-3, metadata=limits(above=0))
    transcriptor: Weights = field(default_factory=dict, metadata=limits(least=0))
    separator: Weights = field(default_factory=dict, metadata=limits(least=0))
    keep: str = field(default="last", metadata=limits(choices=("last", "best")))
    objective: str = field(default="cross-entropy", metadata=limits(choices=OBJECTIVES))

    def __post_init__(self) -> None:
        for network, losses in LOSSES.items():
            weights = self.weights[network]
            for name in weights.keys() - losses.keys():
                raise InvalidValue(f"the {network} has no loss '{name}'{nearest(name, losses)}")
            object.__setattr__(self, network, {name: weights.get(name, 0.0) for name in losses})

    @property
    def weights(self) -> dict[str, Weights]:
        """Loss weights by network."""
        return {"transcriptor": self.transcriptor, "separator": self.separator}


@dataclass(frozen=True)
class DataConfig:
    """How clips are drawn.

    Attributes:
        clip_frames: T of a training clip on the default grid, so in 32 ms; on others as many frames as last as long.
        batch_size: clips a step, over all processes.
        workers: threads that read and unpack clips beside the steps; 0 does it in between them.
        validation_clips: clips of the validation split that are looked at, at most.
        transpose: training clips are transposed by up to so many semitones either way.
        equalise: training clips are equalised by up to so many decibels either way.
        remix: share of the clips that are mixed anew where a teacher, and no stems or weak labels, are read: each
            instrument as the teacher has it in another clip of the batch.
        remix_gain: the parts of those clips are louder or softer by up to so many decibels.
    """

    clip_frames: int = field(default=320, metadata=limits(least=1))
    batch_size: int = field(default=16, metadata=limits(least=1))
    workers: int = field(default=4, metadata=limits(least=0, most=2**10))
    validation_clips: int = field(default=256, metadata=limits(least=0, most=2**20))
    transpose: int = field(default=3, metadata=limits(least=0))
    equalise: float = field(default=6.0, metadata=limits(least=0))
    remix: float = field(default=0.0, metadata=limits(least=0, most=1))
    remix_gain: float = field(default=6.0, metadata=limits(least=0))

    def frames_on(self, grid: Grid) -> int:
        """T of a training clip on a grid."""
        return max(1, round(self.clip_frames * grid.frame_rate / Grid().frame_rate))


@dataclass(frozen=True)
class Config:
    """All settings of a run.

    Attributes:
        plugins: Python modules that are imported before the rest is read, to add losses, networks and the like.
        seed: of initial weights, clip order, cross-clip mixtures and the choice of tracks with stems.
        supervision: what the separator learns from (`stages.SUPERVISIONS`): `score` is the method.
        stems_fraction: share of the tracks whose stems are known, for supervision `semi`.
        weighting: whether the weights of losses are `fixed`, or begin as they are set and are learnt by each loss's
            `uncertainty` (`training.weighting`).
        mask: `softmax` or `sigmoid` (`models.base.MASKS`).
        presence: share of the clips of which the separator is told who plays in their song, as `separate --present`
            tells it; above 0 this is an input of the network, too.
        bandwidth: Hz up to which the separator sees and masks (`models.base.Separator.seen`); 0 for the whole grid.
        share_trunk: start the separator from the transcriptor where both are of one network and size that can.
        weight_decay: of AdamW.
        gradient_clip: largest norm of a network's gradient.
        gradient_quantile: a gradient's norm is clipped to this quantile of those before it, too; 1 for not.
        average: decay of a moving average of the weights, which is what is validated and kept; 0 for none.
        precision: `float32`, `bfloat16` or `auto` (`trainer.choose_precision`).
        validate_every: steps between validations; checkpoints are written then too.
        transcriptor, separator: which networks they are, by their settings (`models.networks.NETWORKS`).
        data: how clips are drawn.
        stage1, stage2, stage3: the stages.

    Raises:
        InvalidValue: with all that is wrong.
    """

    plugins: list[str] = field(default_factory=list)
    seed: int = field(default=0, metadata=limits(least=0, most=2**32 - 1))
    supervision: str = field(default="score", metadata=limits(choices=SUPERVISIONS))
    stems_fraction: float = field(default=0.1, metadata=limits(above=0, below=1))
    weighting: str = field(default="fixed", metadata=limits(choices=WEIGHTINGS))
    mask: str = field(default="softmax", metadata=limits(choices=MASKS))
    presence: float = field(default=0.0, metadata=limits(least=0, most=1))
    bandwidth: float = field(default=0.0, metadata=limits(least=0, most=HIGHEST_RATE))
    share_trunk: bool = True
    weight_decay: float = field(default=1e-2, metadata=limits(least=0))
    gradient_clip: float = field(default=5.0, metadata=limits(above=0))
    gradient_quantile: float = field(default=1.0, metadata=limits(above=0, most=1))
    average: float = field(default=0.0, metadata=limits(least=0, below=1))
    precision: str = field(default="auto", metadata=limits(choices=PRECISIONS))
    validate_every: int = field(default=1000, metadata=limits(least=1))
    transcriptor: Settings = field(default_factory=DEFAULT.settings)
    separator: Settings = field(default_factory=DEFAULT.settings)
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
        faults = [*limit_faults(self), *self._meaningless_weights()]
        if self.data.batch_size * self.data.clip_frames > MOST_FRAMES:
            faults.append(f"data.batch_size times clip_frames is more than {MOST_FRAMES}, beyond any memory")
        if self.data.remix and self.presence:
            faults.append("data.remix and presence exclude each other, set one to 0")
        separators = [stage.separator.items() for stage in self.stages.values()]
        taught = {name for weights in separators for name, weight in weights if weight} & LOSSES["separator"].keys()
        if self.data.remix and not any(TEACHER in LOSSES["separator"][name].reads for name in taught):
            faults.append("data.remix has no effect where no loss reads the teacher, set it to 0")
        if 0 < self.bandwidth < LEAST_BANDWIDTH:
            faults.append(f"bandwidth is {self.bandwidth:g} Hz, and {LEAST_BANDWIDTH} is the least")
        if faults:
            raise InvalidValue("; ".join(faults), remedy="change the config")

    def _meaningless_weights(self) -> Iterator[str]:
        """Losses that have a weight and no meaning under the supervision."""
        for number, stage in self.stages.items() if self.supervision in SUPERVISIONS else ():
            for network, weights in stage.weights.items():
                for loss in SUPERVISIONS[self.supervision].meaningless(network):
                    if weights[loss]:
                        yield (
                            f"stage{number}.{network}.{loss} has no meaning with supervision '{self.supervision}', "
                            "set it to 0"
                        )

    @property
    def architecture(self) -> Architecture:
        """Both networks."""
        return Architecture(self.transcriptor, self.separator)

    @property
    def critic(self) -> str:
        """What the transcriptor tells apart (`models.base.Network.critics`)."""
        return SUPERVISIONS[self.supervision].critic

    @property
    def conditioned(self) -> bool:
        """Whether who plays is an input of the separator."""
        return self.presence > 0

    @property
    def stages(self) -> dict[int, StageConfig]:
        """The stages by number."""
        return {1: self.stage1, 2: self.stage2, 3: self.stage3}

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values."""
        return asdict(self) | self.architecture.to_dict()


def limit_faults(settings: Any, prefix: str = "") -> Iterator[str]:
    """What is beyond its limits, in a dataclass and in those within it."""
    for each in fields(settings):
        value, name = getattr(settings, each.name), f"{prefix}{each.name}"
        if is_dataclass(value):
            yield from limit_faults(value, f"{name}.")
        elif choices := each.metadata.get("choices"):
            if value not in choices:
                yield f"{name} '{value}' is unknown{nearest(value, choices)}"
        elif each.metadata:
            numbers = value if isinstance(value, Mapping) else {"": value}
            for key, number in numbers.items():
                if fault := _number_fault(number, **each.metadata):
                    yield f"{name}{'.' * bool(key)}{key} is {number}, {fault}"


def _number_fault(number: float, least: float, most: float, above: float, below: float, choices: object) -> str:
    """Which limit a number is beyond, or ''."""
    if number < least:
        return f"and {least} is the least"
    if number > most:
        return f"and {most} is the most"
    if not above < number < below:
        return f"which is not above {above}" if below == math.inf else f"which is not between {above} and {below}"
    return ""
