"""The table of losses: which network minimises each, from what, and what it reads and needs.

The formulas are in `losses.formulas`. A loss of another package is a `Loss`, too: one of an entry point of the group
`scoresep.losses` (`plugins`), or one that a module named in a config adds by `LOSSES.register`.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from scoresep.errors import AlreadyExists, InvalidValue
from scoresep.instruments import nearest
from scoresep.losses import formulas
from scoresep.losses.batch import DATASETS, STEMS, TEACHER, WEAK, Batch
from scoresep.machine import constant
from scoresep.models.base import Rolls
from scoresep.models.model import Model
from scoresep.models.networks import ROLES
from scoresep.plugins import Registry
from scoresep.score.weak_labels import SCORED, UNKNOWN

READABLE = frozenset({*DATASETS, STEMS, TEACHER, WEAK})
"""What a loss may look at."""


@dataclass(eq=False)
class StepContext:
    """One batch seen by both networks; what several losses need is computed once, when first asked for.

    Attributes:
        model: the networks.
        batch: the clips, of this process where there are several.
        shifts: how tracks are exchanged between the clips of all processes for X~, int64 (N,).
        objective: what the adversarial losses measure (`formulas.OBJECTIVES`).
        gather: the clips of all processes, (all B, ...), from those of this one, (B, ...), with their gradients.
        own: this process's clips among those of all.
        present: who plays, as the separator is told, bool (B, N); None where it is told of no clip.
    """

    model: Model
    batch: Batch
    shifts: Tensor
    objective: formulas.Objective = formulas.cross_entropy
    gather: Callable[[Tensor], Tensor] = lambda clips: clips
    own: slice = field(default_factory=lambda: slice(None))
    present: Tensor | None = None

    def detached(self) -> StepContext:
        """The same batch with separated tracks that pass no gradient back to the separator."""
        context = replace(self)
        with torch.no_grad():
            context.separated = self.separated.detach()
        return context

    @cached_property
    def separated(self) -> Tensor:
        """S_i = M_i X, (B, N, F, T)."""
        masks: Tensor = self.model.separator(self.batch.magnitude, self.present)
        return masks * self.batch.magnitude.unsqueeze(1)

    @cached_property
    def labels(self) -> Tensor:
        """What the critic learns of the score: y, (B, N, P, T), or who plays, (B, N, 1, T) or (B, N, 1, 1).

        The losses see these alone, so that a critic of who plays has no pitches to learn from.
        """
        return self.model.transcriptor.labels(self.batch.roll)

    @cached_property
    def weak(self) -> Tensor:
        """What is known of each instrument, uint8 (B, N, T)."""
        assert self.batch.weak is not None, "a loss that looks at weak labels says so in `reads`"
        return self.batch.weak

    @cached_property
    def open_keys(self) -> Tensor | None:
        """What of the `labels` weak labels leave open, 0 or 1, shaped as they are; None where all tracks have scores.

        Of an instrument that plays it is unknown which keys sound, but not to a critic of who plays.
        """
        if self.batch.weak is None:
            return None
        known = self.batch.weak
        left_open = known >= UNKNOWN if self.model.transcribes else known == UNKNOWN
        return self.model.transcriptor.labels(self.batch.roll * left_open.unsqueeze(2))

    @cached_property
    def taught_clips(self) -> Tensor | None:
        """Clips that have a teacher, bool (B,): those with a score; None for all."""
        return None if self.batch.weak is None else (self.batch.weak == SCORED).flatten(1).all(1)

    @cached_property
    def by_score(self) -> Tensor | None:
        """Clips whose tracks the score judges, bool (B,): those without stems; None for all."""
        return None if self.batch.stemmed is None else ~self.batch.stemmed

    @cached_property
    def unscored(self) -> Tensor:
        """Instruments without a score, which may sound at any time: bool (N,)."""
        return constant(tuple(not instrument.scored for instrument in self.model.instruments), self.model.device)

    @cached_property
    def stems(self) -> Tensor:
        """Magnitudes of the true stems, (B, N, F, T)."""
        assert self.batch.stems is not None, "a loss that looks at stems says so in `reads`"
        return self.batch.stems

    @cached_property
    def taught(self) -> Tensor:
        """What the teacher takes the instruments' magnitudes for, (B, N, F, T)."""
        if self.batch.parts is not None:
            return self.batch.parts
        template, activation = self.batch.template, self.batch.activation
        assert template is not None and activation is not None, "a loss that looks at the teacher says so in `reads`"
        return formulas.teacher_magnitudes(template, activation)

    @cached_property
    def rolls(self) -> Rolls:
        """T(X)."""
        rolls: Rolls = self.model.transcriptor(self.batch.magnitude)
        return rolls

    @cached_property
    def track_logits(self) -> Tensor:
        """T_j(S_i), frame logits (B, N track, N instrument, P, T)."""
        tracks = self.separated
        rolls: Rolls = self.model.transcriptor(tracks.flatten(0, 1))
        return rolls.frame.reshape(*tracks.shape[:2], *rolls.frame.shape[1:])

    @cached_property
    def crossed(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """T(X~) frame logits, y~ and what of it is open, (B, N, P, T) each."""
        labels = self.labels if self.open_keys is None else torch.cat([self.labels, self.open_keys], 2)
        mixture, parts = formulas.cross_mixture(self.gather(self.separated), self.gather(labels), self.shifts)
        rolls: Rolls = self.model.transcriptor(mixture[self.own])
        roll, left_open = parts[self.own, :, : self.labels.shape[2]], parts[self.own, :, self.labels.shape[2] :]
        return rolls.frame, roll, None if self.open_keys is None else left_open


@dataclass(frozen=True)
class Loss:
    """A row of `LOSSES`.

    Attributes:
        name: as configs and logs call it; unique for its network.
        network: the one that minimises it, `transcriptor` or `separator`.
        function: its value, a scalar, from what a step has at hand.
        needs: what the supervision must give for it to have a meaning (`training.stages.Supervision.gives`).
        reads: datasets that it looks at besides magnitudes and rolls, of `READABLE`; one that looks at `WEAK` is off
            where a cache has no weak labels.
        by_magnitude: whether it is divided by the batch's total magnitude; else it is a mean over the batch's clips.
        exchanges: whether it takes tracks from different clips: a batch then needs a clip for each instrument.

    Raises:
        InvalidValue: there is no such network or dataset.
    """

    name: str
    network: str
    function: Callable[[StepContext], Tensor]
    needs: Set[str] = frozenset()
    reads: Set[str] = frozenset()
    by_magnitude: bool = False
    exchanges: bool = False

    def __post_init__(self) -> None:
        if self.network not in ROLES:
            raise InvalidValue(
                f"loss '{self.name}' is of an unknown network '{self.network}'{nearest(self.network, ROLES)}"
            )
        for name in sorted(self.reads - READABLE):
            raise InvalidValue(f"loss '{self.name}' reads an unknown dataset '{name}'{nearest(name, READABLE)}")


def _mixture_loss(name: str, formula: Callable[..., Tensor], *more: str) -> Loss:
    """One by which active tracks add up and the others are silent; the critic's labels say who is active."""

    def function(step: StepContext) -> Tensor:
        return formula(step.batch.magnitude, step.separated, step.labels, step.unscored, step.by_score)

    return Loss(name, "separator", function, needs={"critic", *more}, by_magnitude=True)


def _harmonic_loss(name: str, formula: Callable[..., Tensor]) -> Loss:
    """The same bin by bin, by the instruments' harmonic masks."""

    def function(step: StepContext) -> Tensor:
        return formula(step.batch.magnitude, step.separated, step.batch.harmonic, step.by_score)

    return Loss(name, "separator", function, needs={"critic", "keys"}, reads={"harmonic"}, by_magnitude=True)


ROWS = (
    Loss("score", "transcriptor", lambda step: formulas.score_loss(step.rolls.frame, step.labels, step.open_keys)),
    Loss(
        "onset",
        "transcriptor",
        lambda step: formulas.score_loss(step.rolls.onset, step.batch.onset, step.open_keys),
        needs={"keys"},
        reads={"onset"},
    ),
    Loss(
        "note_set",
        "transcriptor",
        lambda step: formulas.note_set_loss(step.rolls.frame, step.batch.roll, step.weak),
        needs={"keys"},
        reads={WEAK},
    ),
    Loss(
        "adversarial_mixture",
        "transcriptor",
        lambda step: formulas.adversarial_mixture_transcriptor_loss(step.crossed[0], step.objective),
        needs={"critic", "keys"},
        exchanges=True,
    ),
    Loss(
        "adversarial_transcription",
        "transcriptor",
        lambda step: formulas.adversarial_transcription_loss(
            step.track_logits, step.labels, step.objective, step.open_keys
        ),
        needs={"critic", "keys"},
    ),
    Loss(
        "transcription",
        "separator",
        lambda step: formulas.transcription_loss(step.track_logits, step.labels, step.by_score, step.open_keys),
        needs={"critic"},
    ),
    _mixture_loss("clip_mixture", formulas.clip_mixture_loss),
    _mixture_loss("frame_mixture", formulas.frame_mixture_loss, "frames"),
    _harmonic_loss("harmonic_mixture", formulas.harmonic_mixture_loss),
    _harmonic_loss("literal_harmonic_mixture", formulas.literal_harmonic_mixture_loss),
    Loss(
        "adversarial_mixture",
        "separator",
        lambda step: formulas.adversarial_mixture_separator_loss(*step.crossed[:2], step.objective, step.crossed[2]),
        needs={"critic", "keys"},
        exchanges=True,
    ),
    Loss(
        "stem",
        "separator",
        lambda step: formulas.stem_loss(step.batch.magnitude, step.separated, step.stems, step.batch.stemmed),
        needs={"stems"},
        reads={STEMS},
        by_magnitude=True,
    ),
    Loss(
        "teacher",
        "separator",
        lambda step: formulas.teacher_loss(step.batch.magnitude, step.separated, step.taught, step.taught_clips),
        needs={"teacher"},
        reads={TEACHER},
        by_magnitude=True,
    ),
    Loss(
        "absence",
        "separator",
        lambda step: formulas.absence_loss(step.batch.magnitude, step.separated, step.weak),
        needs={"frames"},
        reads={WEAK},
        by_magnitude=True,
    ),
)


class Losses(UserDict[str, dict[str, Loss]]):
    """Rows by network and by name: our own, and those of other packages when it is first looked at.

    Raises:
        ScoresepError: when it is looked at: a row from outside is broken, or has the name of another of its network.
    """

    def __init__(self) -> None:
        """Nothing is loaded yet."""

    @cached_property
    def data(self) -> dict[str, dict[str, Loss]]:  # type: ignore[override]  # loaded when first looked at
        table: dict[str, dict[str, Loss]] = {role: {} for role in ROLES}
        for loss in (*ROWS, *Registry("scoresep.losses", Loss, {}).values()):
            _add(table, loss)
        return table

    def register(self, loss: Loss) -> Loss:
        """Add a row; returns it.

        Raises:
            AlreadyExists: its network has another loss of this name.
        """
        _add(self.data, loss)
        return loss


def _add(table: dict[str, dict[str, Loss]], loss: Loss) -> None:
    if table[loss.network].setdefault(loss.name, loss) is not loss:
        raise AlreadyExists(
            f"two losses of the {loss.network} are called '{loss.name}'", remedy="rename or uninstall one"
        )


def datasets_of(losses: Iterable[Loss], weak: bool = False) -> list[str]:
    """The datasets that some losses look at, in the order of `losses.batch`; magnitudes and rolls are always read, and
    so are `weak` labels if there are any."""
    names = {"magnitude", "roll"}.union(*(loss.reads for loss in losses))
    return [name for name in (*DATASETS, STEMS, TEACHER) if name in names] + [WEAK] * weak


LOSSES = Losses()
"""By network and by name, as configs weight them."""
