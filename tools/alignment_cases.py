"""Songs whose performance is known, with scores that were distorted, for the measurements of alignment."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import midirenderer
import numpy as np
import soundfile

from scoresep.audio.loading import resample
from scoresep.rendering.song import tidied
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.parts import Part
from scoresep.score.reading import Score, read_score

RATE = 16000
LONGEST = 75.0
"""Seconds of the score of a song."""
FORMS = ("as written", "as written", "as written", "as written", "repeat", "cut", "surrounded")
LOST, ADDED = 0.1, 0.05
"""Shares of notes that the score lacks, and that nobody plays."""


@dataclass(frozen=True)
class Case:
    """A recording with a score and the truth about the two.

    Attributes:
        name, form: of the song, one of FORMS.
        samples: float32 (L,) at RATE.
        score: what is written.
        truth: for each part of the score, for each of its notes, the seconds at which it is played.
        added: for each part, for each of its notes, whether it is one that nobody plays.
        transposition: semitones from the written to the sounding pitch.
        music: seconds at which the music begins and ends.
        played: the parts as they are played.
    """

    name: str
    form: str
    samples: np.ndarray
    score: Score
    truth: list[list[np.ndarray]]
    added: list[np.ndarray]
    transposition: int
    music: tuple[float, float]
    played: list[Part]


def cases(folder: Path, soundfont: bytes, songs: int, seed: int, forms: Sequence[str] = FORMS) -> Iterator[Case]:
    """So many songs of a folder, drawn by chance, in these forms by turns."""
    files = sorted(folder.rglob("*.mid"))
    made = 0
    for number in np.random.default_rng(seed).permutation(len(files)):
        case = make_case(files[number], soundfont, forms[made % len(forms)], seed) if made < songs else None
        if case:
            made += 1
            yield case


def make_case(path: Path, soundfont: bytes, form: str, seed: int) -> Case | None:
    """A song of a MIDI file in a given form; None if there is too little in it."""
    rng = np.random.default_rng([seed, len(path.name), *path.name.encode()])
    written = read_score(path)[0]
    lines = written.bar_lines[written.bar_lines <= LONGEST]
    parts = [tidied(part, float(lines[-1])) for part in written.parts]
    parts = [part for part in parts if len(part)]
    if len(lines) < 12 or sum(map(len, parts)) < 100 or all(part.is_drum for part in parts):
        return None
    sections = sections_of(form, lines, rng)
    played, owner = performed(parts, sections)
    music = max(part.offset.max() for part in played)
    warp = time_warp(float(music) + 1.0, rng)
    before = float(rng.uniform(2, 12)) if form == "surrounded" else float(rng.uniform(0, 1))
    after = float(rng.uniform(2, 12)) if form == "surrounded" else 1.0
    bent = [replace(p, onset=warp(p.onset) + before, offset=warp(p.offset) + before) for p in played]
    end = max(float(part.offset.max()) for part in bent)
    samples = rendered(bent, end + after, soundfont)
    if form == "surrounded":
        samples = with_noise(samples, before, end + 0.5, rng)
    transposition = int(rng.integers(-6, 7)) if rng.random() < 0.5 else 0
    score, truth, added = scored(parts, bent, owner, lines, transposition, rng)
    return Case(path.stem, form, samples, score, truth, added, transposition, (before, end), bent)


def sections_of(form: str, lines: np.ndarray, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The sections of the score that are played, seconds from and to, in order."""
    count, last = len(lines) - 1, float(lines[-1])
    if form in ("repeat", "cut"):
        begin = int(rng.integers(1, max(count // 2, 2)))
        end = min(begin + int(rng.integers(max(count // 6, 2), max(count // 2, 3))), count - 2)
        a, b = float(lines[begin]), float(lines[max(end, begin + 1)])
        return [(0.0, b), (a, last)] if form == "repeat" else [(0.0, a), (b, last)]
    if form == "surrounded":
        return [
            (float(lines[int(rng.integers(0, count // 4))]), float(lines[count - int(rng.integers(0, count // 4))]))
        ]
    return [(0.0, last)]


def performed(parts: Sequence[Part], sections: Sequence[tuple[float, float]]) -> tuple[list[Part], list[np.ndarray]]:
    """The parts with their sections one after the other, and for each note its index in the part."""
    played, owner = [], []
    for part in parts:
        rows, moved, now = [], [], 0.0
        for begin, end in sections:
            inside = np.flatnonzero((part.onset >= begin - 1e-6) & (part.onset < end - 1e-6))
            rows.append(inside)
            moved.append(np.full(len(inside), now - begin))
            now += end - begin
        at, shift = np.concatenate(rows), np.concatenate(moved)
        if not len(at):
            at, shift = np.array([0]), np.zeros(1)
        own = replace(part.chosen(at), bend_time=np.zeros(0), bend=np.zeros(0))
        played.append(replace(own, onset=own.onset + shift, offset=own.offset + shift))
        owner.append(at)
    return played, owner


def time_warp(seconds: float, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A function from even to played time: drift of up to a quarter, and rubato of up to a tenth on top."""
    at = np.arange(0.0, seconds + 1.0, 0.05)
    drift = sum(rng.normal() * np.sin(2 * np.pi * (at / rng.uniform(20, 60) + rng.random())) for _ in range(3))
    rubato = sum(rng.normal() * np.sin(2 * np.pi * (at / rng.uniform(2, 8) + rng.random())) for _ in range(4))
    pace = np.exp(0.22 * drift / np.abs(drift).max() + 0.09 * rubato / np.abs(rubato).max())
    played = np.append(0.0, np.cumsum(pace)[:-1] * 0.05)
    return lambda values: np.interp(values, at, played)


def rendered(parts: Sequence[Part], seconds: float, soundfont: bytes) -> np.ndarray:
    """The parts as a recording: float32 (L,) at RATE."""
    wave = midirenderer.render_wave_from(soundfont, midi_bytes(parts, seconds, controls=((7, 45), (91, 40))))
    samples, rate = soundfile.read(io.BytesIO(wave), dtype="float32", always_2d=True)
    return resample(samples.mean(axis=1), rate, RATE)


def with_noise(samples: np.ndarray, begin: float, end: float, rng: np.random.Generator) -> np.ndarray:
    """Applause, as bursts of noise, before and after the music."""
    noise = rng.normal(size=len(samples)) * np.repeat(rng.random(len(samples) // 800 + 1), 800)[: len(samples)]
    outside = np.ones(len(samples))
    outside[int(begin * RATE) : int(end * RATE)] = 0.0
    level = 0.5 * float(np.sqrt(np.mean(np.square(samples))))
    return (samples + level * outside * noise).astype(np.float32)


def scored(
    parts: Sequence[Part],
    played: Sequence[Part],
    owner: Sequence[np.ndarray],
    lines: np.ndarray,
    transposition: int,
    rng: np.random.Generator,
) -> tuple[Score, list[list[np.ndarray]], list[np.ndarray]]:
    """The score with notes lost and added, in another tempo and key; when its notes are played; which were added."""
    tempo = float(rng.uniform(0.8, 1.25))
    written, truth, added = [], [], []
    for part, performance, of in zip(parts, played, owner, strict=True):
        kept = np.flatnonzero(rng.random(len(part)) > LOST)
        more = rng.integers(0, len(part), round(ADDED * len(part)))
        length = part.offset[more] - part.onset[more]
        onset = np.append(part.onset[kept], rng.uniform(0, lines[-1] - 1, len(more)))
        offset = np.append(part.offset[kept], onset[len(kept) :] + length)
        pitch = np.append(
            part.pitch[kept], part.pitch[more] if part.is_drum else part.pitch[more] + rng.integers(-7, 8, len(more))
        )
        velocity = np.append(part.velocity[kept], part.velocity[more])
        when = [performance.onset[of == k] for k in kept] + [np.zeros(0)] * len(more)
        order = np.argsort(onset, kind="stable")
        moved = pitch if part.is_drum else pitch - transposition
        written.append(
            replace(
                part,
                onset=tempo * onset[order],
                offset=tempo * offset[order],
                pitch=np.clip(moved[order], 0, 127),
                velocity=velocity[order],
                bend_time=np.zeros(0),
                bend=np.zeros(0),
            )
        )
        truth.append([when[k] for k in order])
        added.append(order >= len(kept))
    return Score(written, tempo * lines), truth, added


def an_octave_off(case: Case, rng: np.random.Generator) -> tuple[Case, int, int]:
    """The case with one of its pitched parts written an octave too low or too high, its number, and the semitones by
    which it has to be moved back."""
    number = int(rng.choice([n for n, part in enumerate(case.score.parts) if len(part) and not part.is_drum]))
    octave = int(rng.choice([-12, 12]))
    parts = [part.transposed(octave) if n == number else part for n, part in enumerate(case.score.parts)]
    return replace(case, score=replace(case.score, parts=parts)), number, -octave


def alone(case: Case, rng: np.random.Generator, least: int = 40) -> Case | None:
    """The case with one of its pitched parts alone; None if none has notes enough."""
    numbers = [n for n, part in enumerate(case.score.parts) if len(part) >= least and not part.is_drum]
    if not numbers:
        return None
    n = int(rng.choice(numbers))
    score = replace(case.score, parts=[case.score.parts[n]])
    return replace(case, score=score, truth=[case.truth[n]], added=[case.added[n]])
