"""What the score check calls a disagreement; docs/research/score-check.md says what it finds with these values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreCheckSettings:
    """Thresholds of the score check. Agreements are cosines of a spectrum and a template of partials, 0 to 1.

    Attributes:
        missing_db: level in dB, below the stem's loud moments, at which a note does not sound.
        missing_share, missing_notes: share and number of such notes that are reported as missing audio.
        gain, gain_of_few: a lag must fit better than the written time by gain + gain_of_few / sqrt(number of onsets).
        most_hit: share of the onsets at which a sound must begin at a lag;
        fewest_hit, stands_out: or this share, and so much more than at any other candidate: where attacks are slow,
            chance gives several such lags.
        fewest_alike: least agreement in pitch at a lag.
        slow: seconds of lag up to which a stem may only have slow attacks,
        sharp: unless this share of the rise in level comes within 30 ms.
        noise_db: level of steady noise, relative to the mean level, that is reported;
        steady_db: and its least level in the spectra of the notes.
        agrees: least agreement of another transposition that is believed;
        clearly: and how many times that of the written one it must be an octave away (strings or stops that double the
            octave above reach 1.23 times);
        other_interval: the same for other intervals.
        by_chance, explains: a score explains its stem if it agrees by more than by_chance above the best unrelated
            transposition, or by this much.
        bent, bent_windows: semitones of a bend that counts, and the fewest windows with one that are judged.
        peaks_of_noise: share of peaks in a spectrum under which it is noise.
    """

    missing_db: float = -55.0
    missing_share: float = 0.1
    missing_notes: int = 8
    gain: float = 0.2
    gain_of_few: float = 1.0
    most_hit: float = 0.7
    fewest_hit: float = 0.4
    stands_out: float = 0.1
    fewest_alike: float = 0.4
    slow: float = 0.2
    sharp: float = 0.75
    noise_db: float = -11.5
    steady_db: float = -24.0
    agrees: float = 0.55
    clearly: float = 1.28
    other_interval: float = 1.6
    by_chance: float = 0.07
    explains: float = 0.4
    bent: float = 0.4
    bent_windows: int = 6
    peaks_of_noise: float = 0.15
