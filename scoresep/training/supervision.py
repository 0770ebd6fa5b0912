"""What the separator learns from, as rows of a table.
The same networks, clips, variations and steps; a row says what the critic tells apart, which losses have a meaning,
with which weights, and which tracks' stems are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.losses.table import LOSSES

KEYS = frozenset({"critic", "keys", "frames"})
"""What a score gives through a transcriptor as the critic: which keys sound, and who plays in which frame."""


@dataclass(frozen=True)
class Supervision:
    """One row.

    Attributes:
        gives: what losses may need (`terms.Loss.needs`): `critic`, that the transcriptor judges the separator's tracks;
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

    @property
    def teacher(self) -> bool:
        """Whether the separator learns from the cache's teacher (`training.teacher`)."""
        return "teacher" in self.gives


SUPERVISIONS: dict[str, Supervision] = {
    "score": Supervision(KEYS),
    "score+teacher": Supervision(
        KEYS | {"teacher"},
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
    "semi": Supervision(KEYS | {"stems"}, weights={"stem": 5.0}, stems="some"),
}
"""By name, as a config's `supervision` names them."""


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
            f"config: stems_fraction {fraction:g} of the {count} training tracks of {cache.path} "
            f"is {round(fraction * count)}; supervision '{supervision}' needs some with stems and some without"
        )


def refused(supervision: str, player: str) -> list[str]:
    """Losses of a player that have no meaning under a supervision."""
    gives = SUPERVISIONS[supervision].gives
    return [name for name, loss in LOSSES[player].items() if loss.needs - gives]
