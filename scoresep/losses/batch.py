"""What a step learns from: a batch of clips, and the names of the datasets that it is made of."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

DATASETS = ("magnitude", "roll", "onset", "harmonic")
"""What supervision by scores reads, one row a frame; never audio, never stems."""
STEMS = "stems"
"""What supervision by stems reads besides, one row a sample."""
TEACHER = "teacher"
"""What a teacher's supervision reads besides: factors of the score-informed NMF (`cache.schema.FACTORS`), as one."""

WEAK = "weak"
"""What is read besides of caches with weakly labelled tracks, one row a frame, whatever the losses."""

Crop = tuple[int, int]
"""A clip's track row and first frame."""


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        magnitude: mixture magnitudes relative to their track's level, float32 (B, F, T).
        roll, onset: sounding keys and first frames, float32 0 or 1 (B, N, P, T); N is 0 where they were not asked for.
        harmonic: harmonic masks, bool (B, N, F, T); N is 0 where they were not asked for.
        crops: where each clip comes from.
        stems: magnitudes of the true stems relative to their track's level, float32 (B, N, F, T), 0 where they are not
            known; None where they were not asked for.
        stemmed: whether a clip's stems are known, bool (B,); None where they were not asked for.
        template, activation: the teacher's factors, float32 (B, N, U, F) and (B, N, U, T), whose products are the
            instruments' magnitudes in the unit of `magnitude` (`formulas.teacher_magnitudes`); None where they were
            not asked for.
        parts: what the teacher takes the instruments' magnitudes for, float32 (B, N, F, T), where clips were made of
            them (`training.augment.remix`); None elsewhere.
        weak: what is known of each instrument, uint8 (B, N, T) (`score.weak_labels`); None where all have scores.
    """

    magnitude: Tensor
    roll: Tensor
    onset: Tensor
    harmonic: Tensor
    crops: list[Crop]
    stems: Tensor | None = None
    stemmed: Tensor | None = None
    template: Tensor | None = None
    activation: Tensor | None = None
    parts: Tensor | None = None
    weak: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are tensors, clips first."""
        return {field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)}
