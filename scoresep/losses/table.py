"""The table of losses: who minimises each, from what, and what it reads and needs. The formulas are in `losses`.

A loss of another package is a `Loss`, too, given by an entry point of the group `scoresep.losses` (`plugins`).
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scoresep.errors import ScoresepError
from scoresep.instruments import nearest
from scoresep.losses import formulas as losses
from scoresep.machine import constant
from scoresep.models.base import Rolls
from scoresep.models.model import Model
from scoresep.plugins import Registry
from scoresep.training import teacher
from scoresep.training.clip_dataset import DATASETS, STEMS
from scoresep.training.loader import Batch


class Pass:
    """One batch seen by both networks; what several losses need is computed once, when first asked for.

    Attributes:
        model: the networks.
        batch: the clips.
        shifts: how tracks are exchanged between clips for X~, int64 (N,).
        objective: what the adversarial losses measure (`losses.OBJECTIVES`).
    """

    def __init__(
        self,
        model: Model,
        batch: Batch,
        shifts: Tensor,
        separated: Tensor | None = None,
        objective: losses.Objective = losses.cross_entropy,
    ) -> None:
        self.model, self.batch, self.shifts, self.objective = model, batch, shifts, objective
        if separated is not None:
            self.separated = separated

    def detached(self) -> Pass:
        """The same batch with separated tracks that pass no gradient back to the separator."""
        with torch.no_grad():
            return Pass(self.model, self.batch, self.shifts, self.separated.detach(), self.objective)

    @cached_property
    def separated(self) -> Tensor:
        """S_i = M_i X, (B, N, F, T)."""
        return self.model.separator(self.batch.magnitude) * self.batch.magnitude.unsqueeze(1)

    @cached_property
    def labels(self) -> Tensor:
        """What the critic learns of the score: y, (B, N, P, T), or who plays, (B, N, 1, T) or (B, N, 1, 1).

        The losses see these alone, so that a critic of who plays has no pitches to learn from.
        """
        return self.model.transcriptor.labels(self.batch.roll)

    @cached_property
    def by_score(self) -> Tensor | None:
        """Clips whose tracks the score judges, bool (B,): those without stems; None for all."""
        return None if self.batch.stemmed is None else ~self.batch.stemmed

    @cached_property
    def unscored(self) -> Tensor:
        """Instruments without a score, which may sound at any time: bool (N,)."""
        return constant(tuple(not instrument.scored for instrument in self.model.instruments), self.model.device)

    @cached_property
    def taught(self) -> Tensor:
        """What the teacher takes the instruments' magnitudes for, (B, N, F, T)."""
        return teacher.parts(self.batch.template, self.batch.activation)

    @cached_property
    def rolls(self) -> Rolls:
        """T(X)."""
        return self.model.transcriptor(self.batch.magnitude)

    @cached_property
    def track_logits(self) -> Tensor:
        """T_j(S_i), frame logits (B, N track, N instrument, P, T)."""
        tracks = self.separated
        return self.model.transcriptor(tracks.flatten(0, 1)).frame.unflatten(0, tracks.shape[:2])

    @cached_property
    def crossed(self) -> tuple[Tensor, Tensor]:
        """T(X~) frame logits and y~, (B, N, P, T) each."""
        mixture, roll = losses.cross_mixture(self.separated, self.labels, self.shifts)
        return self.model.transcriptor(mixture).frame, roll


PLAYERS = ("transcriptor", "separator")
"""The networks that learn."""
READABLE = frozenset({*DATASETS, STEMS, teacher.TEACHER})
"""What a loss may look at."""


@dataclass(frozen=True)
class Loss:
    """A row of `LOSSES`.

    Attributes:
        name: as configs and logs call it; unique for its player.
        player: the network that minimises it, `transcriptor` or `separator`.
        function: its value, a scalar, from what a step has at hand.
        needs: what the supervision must give for it to have a meaning (`supervision.Supervision.gives`).
        reads: datasets that it looks at besides magnitudes and rolls, of `READABLE`.
        by_magnitude: whether it is divided by the batch's total magnitude; else it is a mean over the batch's clips.
        exchanges: whether it takes tracks from different clips: a batch then needs a clip for each instrument.
    """

    name: str
    player: str
    function: Callable[[Pass], Tensor]
    needs: Set[str] = frozenset()
    reads: Set[str] = frozenset()
    by_magnitude: bool = False
    exchanges: bool = False

    def __post_init__(self) -> None:
        if self.player not in PLAYERS:
            raise ScoresepError(f"loss '{self.name}' is of no network '{self.player}'{nearest(self.player, PLAYERS)}")
        for name in sorted(self.reads - READABLE):
            raise ScoresepError(f"loss '{self.name}' reads no dataset '{name}'{nearest(name, READABLE)}")


def _mixture_loss(name: str, formula: Callable[..., Tensor], *more: str) -> Loss:
    """One by which active tracks add up and the others are silent; the critic's labels say who is active."""

    def function(p: Pass) -> Tensor:
        return formula(p.batch.magnitude, p.separated, p.labels, p.unscored, p.by_score)

    return Loss(name, "separator", function, needs={"critic", *more}, by_magnitude=True)


def _harmonic_loss(name: str, formula: Callable[..., Tensor]) -> Loss:
    """The same bin by bin, by the instruments' harmonic masks."""

    def function(p: Pass) -> Tensor:
        return formula(p.batch.magnitude, p.separated, p.batch.harmonic, p.by_score)

    return Loss(name, "separator", function, needs={"critic", "keys"}, reads={"harmonic"}, by_magnitude=True)


ROWS = (
    Loss("score", "transcriptor", lambda p: losses.score_loss(p.rolls.frame, p.labels)),
    Loss(
        "onset",
        "transcriptor",
        lambda p: losses.score_loss(p.rolls.onset, p.batch.onset),
        needs={"keys"},
        reads={"onset"},
    ),
    Loss(
        "adversarial_mixture",
        "transcriptor",
        lambda p: losses.adversarial_mixture_transcriptor_loss(p.crossed[0], p.objective),
        needs={"critic", "keys"},
        exchanges=True,
    ),
    Loss(
        "adversarial_transcription",
        "transcriptor",
        lambda p: losses.adversarial_transcription_loss(p.track_logits, p.labels, p.objective),
        needs={"critic", "keys"},
    ),
    Loss(
        "transcription",
        "separator",
        lambda p: losses.transcription_loss(p.track_logits, p.labels, p.by_score),
        needs={"critic"},
    ),
    _mixture_loss("clip_mixture", losses.clip_mixture_loss),
    _mixture_loss("frame_mixture", losses.frame_mixture_loss, "frames"),
    _harmonic_loss("harmonic_mixture", losses.harmonic_mixture_loss),
    _harmonic_loss("literal_harmonic_mixture", losses.literal_harmonic_mixture_loss),
    Loss(
        "adversarial_mixture",
        "separator",
        lambda p: losses.adversarial_mixture_separator_loss(*p.crossed, p.objective),
        needs={"critic", "keys"},
        exchanges=True,
    ),
    Loss(
        "stem",
        "separator",
        lambda p: losses.stem_loss(p.batch.magnitude, p.separated, p.batch.stems, p.batch.stemmed),
        needs={"stems"},
        reads={STEMS},
        by_magnitude=True,
    ),
    Loss(
        "teacher",
        "separator",
        lambda p: losses.teacher_loss(p.batch.magnitude, p.separated, p.taught),
        needs={"teacher"},
        reads={teacher.TEACHER},
        by_magnitude=True,
    ),
)


class Losses(UserDict[str, dict[str, Loss]]):
    """Rows by player and by name: our own and those of other packages, once it is looked at.

    Raises:
        ScoresepError: when it is looked at: one from outside is broken, or has the name of another of its player.
    """

    def __init__(self) -> None:
        """Nothing is loaded yet."""

    @cached_property
    def data(self) -> dict[str, dict[str, Loss]]:  # type: ignore[override]
        table: dict[str, dict[str, Loss]] = {player: {} for player in PLAYERS}
        for row in (*ROWS, *Registry("scoresep.losses", Loss, {}).values()):
            if table[row.player].setdefault(row.name, row) is not row:
                raise ScoresepError(f"two losses of the {row.player} are called '{row.name}'; rename or uninstall one")
        return table


def reads(losses: Iterable[Loss]) -> set[str]:
    """The datasets that losses look at besides magnitudes and rolls."""
    return {name for loss in losses for name in loss.reads}


LOSSES = Losses()
"""By player and by name, as configs weight them."""
