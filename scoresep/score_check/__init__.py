"""Score check: does a stem sound as its own score says?

Compared are the written onsets with the rises of the stem's energy (time), the written notes with its energy (missing
audio), and a template of the partials that should sound with the spectra of some of the notes (pitch). A stem is
sampled, never transformed as a whole: the check costs a fraction of decoding. docs/research/score-check.md says what it
finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scoresep.score.parts import Part, part_from_notes
from scoresep.score_check.evidence import (
    DISAGREEMENTS,
    ENVELOPE_RATE,
    PITCHLESS,
    SILENCE,
    USUAL_THRESHOLDS,
    Disagreement,
    ScoreCheckSettings,
    Sound,
    notes_within,
)
from scoresep.score_check.pitch import ignored_bends, note_spectra, wrong_pitch
from scoresep.score_check.timing import best_offset, describe_offset, envelope_of, missing_audio, steady_noise

__all__ = ["DISAGREEMENTS", "Disagreement", "ScoreCheckSettings", "check_stem", "warm_up"]


def check_stem(
    samples: np.ndarray,
    rate: int,
    parts: Sequence[Part],
    is_drum: bool = False,
    settings: ScoreCheckSettings = USUAL_THRESHOLDS,
) -> list[Disagreement]:
    """Compare a stem with its score: an empty list if they agree or if there is too little to tell.

    Args:
        samples: mono float32 (L,), finite.
        rate: Hz.
        parts: what the stem plays, at the pitch at which it should sound.
        is_drum: the pitches are drums: time, silence, missing audio and noise alone are judged.
        settings: thresholds.
    """
    notes = notes_within(parts, len(samples) / rate)
    if not len(notes) or len(samples) < rate // ENVELOPE_RATE:
        return []
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    envelope = envelope_of(samples, rate)
    if envelope.energy.max() <= SILENCE:
        return [Disagreement("silent", f"is silent; its score has {len(notes)} notes")]
    is_drum = is_drum or all(part.program in PITCHLESS for part in parts)
    sound = Sound(samples, rate, parts, is_drum, notes, envelope)
    spectra = note_spectra(sound)
    disagreements: list[Disagreement | None] = []
    if ignored := ignored_bends(spectra, notes, settings):
        disagreements.append(ignored)
        sound = replace(sound, parts=[replace(part, bend=np.zeros_like(part.bend)) for part in parts])
        spectra = note_spectra(sound)
    if offset := best_offset(sound, spectra, settings):
        disagreements.append(describe_offset(*offset))
        spectra = note_spectra(sound, offset[1].lag)
    disagreements.append(missing_audio(envelope, notes, offset[1].lag if offset else 0.0, settings))
    noise = steady_noise(envelope, spectra, settings)
    disagreements.append(noise or wrong_pitch(spectra, notes, {part.program for part in parts}, settings))
    return [disagreement for disagreement in disagreements if disagreement]


def warm_up() -> None:
    """Compile the kernels, so that processes forked later need not."""
    part = part_from_notes([(0.1 * n, 0.1 * n + 0.1, 60 + n % 3, 90) for n in range(20)])
    check_stem(np.random.default_rng(0).normal(0, 0.1, 3 * 44100).astype(np.float32), 44100, [part])
