"""What the separator learns from, as rows of a table. Called by `recipe`, the session and `run`.

The same networks, clips, variations and steps; a row says what the critic tells apart, which losses have a meaning,
with which weights, and which tracks' stems are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError

ADVERSARIAL = {"adversarial_mixture", "adversarial_transcription"}
HARMONIC = {"harmonic_mixture", "literal_harmonic_mixture"}
NO_KEYS = {"stem", "teacher", "onset", *HARMONIC, *ADVERSARIAL}
"""Losses that a critic of who plays cannot have: they need pitches, or a score to play against."""
CRITICAL = {"transcription", "clip_mixture", "frame_mixture", *HARMONIC, *ADVERSARIAL}
"""Losses by which a score, through the critic, teaches the separator."""


@dataclass(frozen=True)
class Supervision:
    """One row.

    Attributes:
        critic: what the critic tells apart (`models.classifier.CRITICS`).
        refused: losses that have no meaning; their weights are 0, and a recipe that gives them another is refused.
        weights: default weights of the separator's losses in stages 2 and 3, in place of the recipe's own defaults.
        stems: whose stems are read: `none`, `some` (the recipe's `stems_fraction` of the tracks) or `all`.
        teacher: whether the separator learns from the cache's teacher (`training.teacher`).
    """

    critic: str = "keys"
    refused: frozenset[str] = frozenset()
    weights: Mapping[str, float] = field(default_factory=dict)
    stems: str = "none"
    teacher: bool = False


SUPERVISIONS: dict[str, Supervision] = {
    "score": Supervision(refused=frozenset({"stem", "teacher"})),
    "score+teacher": Supervision(
        refused=frozenset({"stem"}),
        weights={"teacher": 10.0, "transcription": 5.0, "clip_mixture": 0.5, "harmonic_mixture": 0.0},
        teacher=True,
    ),
    "teacher": Supervision(refused=frozenset({"stem", *CRITICAL}), weights={"teacher": 1.0}, teacher=True),
    "class-frame": Supervision(
        critic="frames",
        refused=frozenset(NO_KEYS),
        weights={"transcription": 1.0, "clip_mixture": 0.5, "frame_mixture": 0.5},
    ),
    "class-clip": Supervision(
        critic="clips",
        refused=frozenset({*NO_KEYS, "frame_mixture"}),
        weights={"transcription": 1.0, "clip_mixture": 0.5},
    ),
    "stems": Supervision(refused=frozenset({"teacher", *CRITICAL}), weights={"stem": 1.0}, stems="all"),
    "semi": Supervision(refused=frozenset({"teacher"}), weights={"stem": 5.0}, stems="some"),
}
"""By name, as a recipe's `supervision` names them."""


def stemmed_tracks(cache: Cache, split: str, supervision: str, fraction: float, seed: int) -> frozenset[int]:
    """Rows of the tracks of `split` whose stems are read: always the same for the same seed, none for most rows.

    For validation too: its loss is then made of the same parts as the training's.
    """
    rows = cache.rows(split)
    share = {"none": 0.0, "some": fraction, "all": 1.0}[SUPERVISIONS[supervision].stems]
    order = np.random.default_rng((seed, sum(map(ord, split)))).permutation(len(rows))
    return frozenset(int(row) for row in rows[order[: round(share * len(rows))]])


def check_known(cache: Cache, supervision: str, fraction: float) -> None:
    """Refuse a supervision that the cache cannot give.

    Raises:
        ScoresepError: it needs stems or a teacher and there are none, or none or all of the tracks would have stems.
    """
    row = SUPERVISIONS[supervision]
    if row.teacher and not cache.has_teacher:
        raise ScoresepError(
            f"{cache.path} holds no teacher, which supervision '{supervision}' learns from; "
            "prepare it again with --teacher nmf, or train with supervision 'score'"
        )
    if row.stems != "none" and not cache.has_stems:
        raise ScoresepError(
            f"{cache.path} holds no stems, which supervision '{supervision}' learns from; "
            "prepare a corpus that has them, or train with supervision 'score'"
        )
    count = len(cache.rows("train"))
    if row.stems == "some" and not 0 < round(fraction * count) < count:
        raise ScoresepError(
            f"recipe: stems_fraction {fraction:g} of the {count} training tracks of {cache.path} "
            f"is {round(fraction * count)}; supervision '{supervision}' needs some with stems and some without"
        )


def refused_losses(supervision: str, weights: Mapping[str, float]) -> Iterable[str]:
    """Losses that have a weight and no meaning."""
    return (name for name, weight in weights.items() if weight and name in SUPERVISIONS[supervision].refused)
