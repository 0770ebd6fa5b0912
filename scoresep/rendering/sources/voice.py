"""Voices as a source: a folder of recordings of one person is a patch that sings; without recordings, formants do.

A `voice.json` in the folder may state `licence`, `attribution`, `source`, `kind` ("speech" or "singing") and
`f0_median_hz`; what it does not state is measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from scoresep.audio.decoding.formats import AUDIO_SUFFIXES
from scoresep.audio.loading import read_audio
from scoresep.errors import Damaged, NotFound, ScoresepError
from scoresep.files import read_text, replacing
from scoresep.instruments import INSTRUMENTS
from scoresep.rendering.settings import digest
from scoresep.rendering.singing import (
    FRAME,
    RATE,
    Manner,
    Voice,
    analyse,
    draw_manner,
    from_arrays,
    median_f0,
    sing,
    synthetic_voice,
    to_arrays,
)
from scoresep.rendering.song import Song
from scoresep.rendering.sources.base import Credit, Patch, SoundSource
from scoresep.score.parts import Part

VOICE_FILE = "voice.json"
LONGEST = 20.0
"""Seconds of a person's recordings that are analysed."""
RANGES = {"speech": (-4, 21), "singing": (-12, 14)}
"""Kind to the semitones, from the median of a voice's pitch, between which it can be made to sing."""
DOUBLED = 0.25
"""Probability that a part is sung twice, as records often have it."""
SYNTHETIC = 8
"""People whom formants stand in for where there is no recording."""


def list_voices(folder: Path, store: Path) -> tuple[tuple[Patch, ...], dict[str, str]]:
    """The voices of a folder, one for each folder with recordings in it, and label to the reason of what is left out.

    Args:
        store: folder in which the analysis of a voice is kept once it has sung.

    Raises:
        NotFound: no recording anywhere.
    """
    recordings: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.suffix.lower() in AUDIO_SUFFIXES:
            recordings.setdefault(path.parent, []).append(path)
    if not recordings:
        raise NotFound("no recording of a voice", file=folder, remedy="name a folder with a folder for each person")
    voices, left_out = [], {}
    for place, files in recordings.items():
        label = "voices/" + (place.relative_to(folder).as_posix() if place != folder else folder.name)
        try:
            voices.append(_patch(place, files, label, store))
        except ScoresepError as fault:
            left_out[label] = str(fault)
    return tuple(voices), left_out


def synthetic_voices() -> tuple[Patch, ...]:
    """Voices of formants, low to high."""
    medians = np.linspace(42, 60, SYNTHETIC).round().astype(int).tolist()
    return tuple(
        _sings(Path(f"formants-{n}"), f"formants/{n}", "Formants", median, "speech", Credit(maker=f"formants {n}"))
        for n, median in enumerate(medians)
    )


def play(patch: Patch, song: Song, part: Part, sample_rate: int, reverb: int) -> np.ndarray:
    """The part sung, mono float32: notes that sound together by as many people of this voice."""
    rng = np.random.default_rng([*song.uuid.encode(), *patch.label.encode(), *part.name.encode()])
    voice = _voice(patch)
    manner = draw_manner(rng)
    sound = np.zeros(round(song.seconds * RATE), np.float32)
    takes = 1 + (rng.random() < DOUBLED)
    for take in range(takes):
        other = manner if take == 0 else replace(manner, vibrato_rate=manner.vibrato_rate * 1.07, breath=None)
        for notes in layers(np.stack([part.onset, part.offset, part.pitch, part.velocity], axis=1)):
            sound += _sing(voice, notes, song.seconds, other, part, rng) * (1.0 if take == 0 else 0.5)
    return sound if sample_rate == RATE else soxr.resample(sound, RATE, sample_rate)


def layers(notes: np.ndarray) -> list[np.ndarray]:
    """Rows of notes, (n, 4) in order of onset, as melodies without overlap: each goes to the first that is free."""
    melodies: list[list[np.ndarray]] = []
    for row in notes[np.argsort(notes[:, 0], kind="stable")]:
        free = next((melody for melody in melodies if melody[-1][1] <= row[0] + 0.05), None)
        if free is None:
            melodies.append([row])
        else:
            free.append(row)
    return [np.array(melody) for melody in melodies]


def _sing(
    voice: Voice, notes: np.ndarray, seconds: float, manner: Manner, part: Part, rng: np.random.Generator
) -> np.ndarray:
    frames = FRAME * np.arange(round(seconds / FRAME) + 1)
    bend = _held(part.bend_time, part.bend, frames)
    return sing(voice, notes, seconds, manner, rng, bend)[0]


def _held(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values that hold until the next time, 0 before the first."""
    return np.concatenate([[0.0], values])[np.searchsorted(times, at, side="right")]


def _patch(place: Path, files: Sequence[Path], label: str, store: Path) -> Patch:
    stated = _stated(place / VOICE_FILE)
    hertz = stated.get("f0_median_hz")
    if not isinstance(hertz, (int, float)):
        hertz = median_f0(*_samples(files, 6.0))
    if not hertz or not 40 < hertz < 1200:
        raise Damaged("no voice can be heard in its recordings", file=place, remedy="take it out of the folder")
    kind = "singing" if stated.get("kind") == "singing" else "speech"
    credit = Credit(
        licence=str(stated.get("licence") or ""),
        attribution=str(stated.get("attribution") or ""),
        maker=place.name,
        weak=str(stated.get("provenance") or "").lower().startswith("weak"),
    )
    config = digest("\n".join(f"{path.name} {path.stat().st_size}" for path in files).encode())
    path = store / f"{digest(f'{label} {config}'.encode())}.npz"
    median = round(69 + 12 * np.log2(hertz / 440))
    return _sings(path, label, place.name, median, kind, credit, config, frozenset(map(str, files)))


def _sings(
    path: Path,
    label: str,
    name: str,
    median: int,
    kind: str,
    credit: Credit,
    config: str = "",
    material: frozenset[str] = frozenset(),
) -> Patch:
    low, high = RANGES[kind]
    vocals = INSTRUMENTS["vocals"]
    return Patch(
        path,
        vocals.midi_program,
        False,
        label,
        name,
        source="voice",
        config=config or label,
        material=material or frozenset({label}),
        stands_for=vocals.programs,
        keys=frozenset(range(median + low, median + high + 1)),
        credit=credit,
    )


def _stated(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(read_text(path))
    except ValueError as fault:
        raise Damaged(f"not readable JSON ({fault})", file=path, remedy="correct it") from fault
    if not isinstance(values, dict):
        raise Damaged("no table of a voice", file=path, remedy="correct it")
    return values


def _samples(files: Sequence[Path], seconds: float) -> tuple[np.ndarray, int]:
    """The first recordings, mono, as many as make `seconds`, and their rate, that of the first."""
    first, rate = read_audio(files[0])
    pieces = [first]
    for path in files[1:]:
        if sum(map(len, pieces)) >= seconds * rate:
            break
        pieces.append(read_audio(path, rate)[0])
    return np.concatenate(pieces)[: round(seconds * rate)], rate


@lru_cache(maxsize=4)
def _voice(patch: Patch) -> Voice:
    if patch.label.startswith("formants/"):
        return synthetic_voice(int(patch.label.rpartition("/")[2]), sorted(patch.keys)[4])
    if patch.path.is_file():
        with np.load(patch.path) as stored:
            return from_arrays(stored)
    samples, rate = _samples([Path(path) for path in sorted(patch.material)], LONGEST)
    voice = analyse(samples, rate)
    if voice is None:
        raise Damaged(
            "no syllable can be heard in its recordings", file=patch.label, remedy="take it out of the folder"
        )
    patch.path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(patch.path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **to_arrays(voice))  # type: ignore[arg-type]  # its stubs take a name for allow_pickle
    return voice


VOICE = SoundSource(VOICE_FILE, lambda path: (), play)
