"""The losses by name, bound to what a step has at hand. Called by the training loop; the formulas are in `losses`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from scoresep import losses
from scoresep.models.model import Model
from scoresep.models.transcriptor import Rolls
from scoresep.training import teacher
from scoresep.training.stream import Batch


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
        return torch.tensor([not instrument.scored for instrument in self.model.instruments], device=self.model.device)

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


Term = Callable[[Pass], Tensor]

TERMS: dict[str, dict[str, Term]] = {
    "transcriptor": {
        "score": lambda p: losses.score_loss(p.rolls.frame, p.labels),
        "onset": lambda p: losses.score_loss(p.rolls.onset, p.batch.onset),
        "adversarial_mixture": lambda p: losses.adversarial_mixture_transcriptor_loss(p.crossed[0], p.objective),
        "adversarial_transcription": lambda p: losses.adversarial_transcription_loss(
            p.track_logits, p.labels, p.objective
        ),
    },
    "separator": {
        "transcription": lambda p: losses.transcription_loss(p.track_logits, p.labels, p.by_score),
        "clip_mixture": lambda p: losses.clip_mixture_loss(
            p.batch.magnitude, p.separated, p.labels, p.unscored, p.by_score
        ),
        "frame_mixture": lambda p: losses.frame_mixture_loss(
            p.batch.magnitude, p.separated, p.labels, p.unscored, p.by_score
        ),
        "harmonic_mixture": lambda p: losses.harmonic_mixture_loss(
            p.batch.magnitude, p.separated, p.batch.harmonic, p.by_score
        ),
        "literal_harmonic_mixture": lambda p: losses.literal_harmonic_mixture_loss(
            p.batch.magnitude, p.separated, p.batch.harmonic, p.by_score
        ),
        "adversarial_mixture": lambda p: losses.adversarial_mixture_separator_loss(*p.crossed, p.objective),
        "teacher": lambda p: losses.teacher_loss(p.batch.magnitude, p.separated, p.taught),
        "stem": lambda p: losses.stem_loss(p.batch.magnitude, p.separated, p.batch.stems, p.batch.stemmed),
    },
}
"""By network and by name, as `recipe.TranscriptorWeights` and `recipe.SeparatorWeights` weight them."""
