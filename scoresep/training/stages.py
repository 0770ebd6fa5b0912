"""What is trained, and what it learns from: the stages and the kinds of supervision, as rows of two tables.

A stage says which networks learn. A supervision says what the critic tells apart, which losses have a meaning, with
which weights, and which tracks' stems are read; networks, clips, variations and steps are the same under each. Losses
and their weights are the config's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scoresep.cache.reader import Cache
from scoresep.errors import InvalidValue, Mismatch
from scoresep.losses.batch import WEAK
from scoresep.losses.table import LOSSES, Loss


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        number: 1, 2 or 3.
        title: for people.
        trains: the networks that learn, in the order in which they step.
        statistics: whether batch normalisation of these networks goes on collecting statistics. In joint fine-tuning it
            does not: the transcriptor sees mixtures, tracks and cross-clip mixtures by turns, and none of them may
            shift what it expects of the others.
    """

    number: int
    title: str
    trains: tuple[str, ...]
    statistics: bool


STAGES: dict[int, Stage] = {
    stage.number: stage
    for stage in (
        Stage(1, "the transcriptor learns from mixtures", ("transcriptor",), statistics=True),
        Stage(2, "the separator learns, the transcriptor is frozen", ("separator",), statistics=True),
        Stage(3, "both learn against each other", ("separator", "transcriptor"), statistics=False),
    )
}

WARM_UP = 0.05
"""Share of a stage's steps in which the learning rate rises from zero."""

SCORE = frozenset({"critic", "keys", "frames"})
"""What a score gives through a transcriptor as the critic: which keys sound, and who plays in which frame."""


@dataclass(frozen=True)
class Supervision:
    """What the separator learns from.

    Attributes:
        gives: what losses may need (`Loss.needs`): `critic`, that the transcriptor judges the separator's tracks;
            `keys`, that it knows notes; `frames`, that it knows who plays when; `stems`; `teacher`. Losses that need
            more have no meaning: their weights are 0, and a config that gives them another is refused.
        critic: what the critic tells apart (`models.base.Network.critics`).
        weights: default weights of the separator's losses in stages 2 and 3, in place of the config's own defaults.
        stems: whose stems are read: `none`, `some` (the config's `stems_fraction` of the tracks) or `all`.
    """

    gives: frozenset[str]
    critic: str = "keys"
    weights: Mapping[str, float] = field(default_factory=dict)
    stems: str = "none"

    def meaningless(self, network: str) -> list[str]:
        """Losses of a network that have no meaning here."""
        return [name for name, loss in LOSSES[network].items() if loss.needs - self.gives]


SUPERVISIONS: dict[str, Supervision] = {
    "score": Supervision(SCORE),
    "score+teacher": Supervision(
        SCORE | {"teacher"},
        weights={"teacher": 10.0, "transcription": 5.0, "clip_mixture": 0.5, "harmonic_mixture": 0.0},
    ),
    "teacher": Supervision(frozenset({"keys", "teacher"}), weights={"teacher": 1.0}),
    "class-frame": Supervision(
        frozenset({"critic", "frames"}),
        critic="frames",
        weights={"transcription": 1.0, "clip_mixture": 0.5, "frame_mixture": 0.5},
    ),
    "class-clip": Supervision(
        frozenset({"critic"}), critic="clips", weights={"transcription": 1.0, "clip_mixture": 0.5}
    ),
    "stems": Supervision(frozenset({"keys", "stems"}), weights={"stem": 1.0}, stems="all"),
    "semi": Supervision(SCORE | {"stems"}, weights={"stem": 5.0}, stems="some"),
}
"""By name, as a config's `supervision` names them."""


def schedule(step: int, steps: int) -> float:
    """Factor of the learning rate at `step`: a linear warm-up, one, a linear fall to zero over the last third."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return min(1.0, 3 * (steps - step) / max(1, steps - warm))


def stage_losses(stage: Stage, weights: Mapping[str, Mapping[str, float]], weak: bool = False) -> list[Loss]:
    """The losses of a stage: those of the networks that it trains that have a weight, and `weak` labels if they need
    them."""
    rows = (LOSSES[network][name] for network in stage.trains for name, weight in weights[network].items() if weight)
    return [loss for loss in rows if weak or WEAK not in loss.reads]


def stemmed_tracks(cache: Cache, split: str, supervision: str, fraction: float, seed: int) -> frozenset[int]:
    """Rows of the tracks of `split` whose stems are read: always the same for the same seed, none for most rows.

    For validation too: its loss is then made of the same parts as the training's.
    """
    rows = cache.rows(split)
    share = {"none": 0.0, "some": fraction, "all": 1.0}[SUPERVISIONS[supervision].stems]
    order = np.random.default_rng((seed, sum(map(ord, split)))).permutation(len(rows))
    return frozenset(int(row) for row in rows[order[: round(share * len(rows))]])


def check_supervision(cache: Cache, supervision: str, fraction: float) -> None:
    """Refuse a supervision that the cache cannot give.

    Raises:
        Mismatch: it needs stems or a teacher, and the cache has none.
        InvalidValue: none or all of the tracks would have stems where some are to.
    """
    row = SUPERVISIONS[supervision]
    if "teacher" in row.gives and not cache.has_teacher:
        raise Mismatch(
            f"holds no teacher, which supervision '{supervision}' learns from",
            file=cache.path,
            remedy="prepare it again with --teacher nmf, or train with supervision 'score'",
        )
    if row.stems != "none" and not cache.has_stems:
        raise Mismatch(
            f"holds no stems, which supervision '{supervision}' learns from",
            file=cache.path,
            remedy="prepare a corpus that has them, or train with supervision 'score'",
        )
    count = len(cache.rows("train"))
    if row.stems == "some" and not 0 < round(fraction * count) < count:
        raise InvalidValue(
            f"stems_fraction {fraction:g} of the {count} training tracks is {round(fraction * count)}, and supervision "
            f"'{supervision}' needs some with stems and some without",
            file=cache.path,
            remedy="choose another stems_fraction",
        )
