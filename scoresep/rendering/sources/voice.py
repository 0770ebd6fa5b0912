"""Voices as a source: a folder of recordings of one person is a patch that sings; without recordings, formants do.

A `voice.json` in the folder may state `licence`, `attribution`, `provenance` and `kind` ("speech" or
"singing").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from scoresep.audio.decoding.formats import AUDIO_SUFFIXES
from scoresep.audio.loading import read_audio
from scoresep.errors import Damaged, NotFound, ScoresepError
from scoresep.files import existing_folder, replacing, sha256_of
from scoresep.instruments import INSTRUMENTS
from scoresep.rendering.song import Song, digest
from scoresep.rendering.sources.base import Credit, Patch, SoundSource, is_weak, read_json_table
from scoresep.rendering.sources.singing import (
    FRAME,
    RATE,
    Voice,
    analyse,
    draw_manner,
    from_arrays,
    sing,
    syllable_pitch,
    synthetic_voice,
    to_arrays,
)
from scoresep.score.parts import Part

VOICE_FILE = "voice.json"
VOICES_REMEDY = "name a folder with a folder for each person"
RANGE_SECONDS = 6.0
"""Of a person's recordings, by which the range of the voice is told."""
ANALYSED_SECONDS = 12.0
"""Seconds of a person's recordings that are analysed."""
VOICE_VERSION = 2
"""Part of what is known of a voice: raise it when the same recordings and notes give other audio."""
RANGES = {"speech": (-4, 21), "singing": (-12, 14)}
"""Kind to the semitones, from the median of a voice's pitch, between which it can be made to sing."""
DOUBLED = 0.25
"""Probability that a part is sung twice, as records often have it."""
SYNTHETIC = 8
"""People whom formants stand in for where there is no recording."""


_VOCALS = INSTRUMENTS["vocals"]
_SINGER = Patch(
    Path(), _VOCALS.midi_program, False, "", "speech", source="voice", stands_for=_VOCALS.programs, keys=frozenset()
)


def list_voices(folder: Path, store: Path) -> tuple[tuple[Patch, ...], dict[str, str]]:
    """The voices of a folder, one for each folder with recordings in it, and label to the reason of what is left out.

    Args:
        store: folder in which the analysis of a voice is kept once it has sung.

    Raises:
        NotFound: no such folder, or no recording anywhere.
        WrongFormat: it is a file.
    """
    recordings: dict[Path, list[Path]] = {}
    for path in sorted(existing_folder(folder, "folder of voices", VOICES_REMEDY).rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
            recordings.setdefault(path.parent, []).append(path)
    if not recordings:
        raise NotFound("no recording of a voice", file=folder, remedy=VOICES_REMEDY)
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
        replace(
            _SINGER,
            label=f"formants/{n}",
            config=f"formants/{n} {VOICE_VERSION}",
            material=frozenset({f"formants/{n}"}),
            keys=_keys("speech", median),
            credit=Credit(maker=f"formants {n}"),
        )
        for n, median in enumerate(medians)
    )


def play(patch: Patch, song: Song, part: Part, sample_rate: int, reverb: int) -> np.ndarray:
    """The part sung, mono float32: notes that sound together by as many people of this voice."""
    rng = np.random.default_rng([*song.uuid.encode(), *patch.label.encode(), *part.name.encode()])
    voice = _voice(patch)
    manner = draw_manner(rng)
    sound = np.zeros(round(song.seconds * RATE), np.float32)
    takes = 1 + (rng.random() < DOUBLED)
    melodies = layers(part.table)
    bend = part.bend_at(FRAME * np.arange(round(song.seconds / FRAME) + 1))
    for take in range(takes):
        other = manner if take == 0 else replace(manner, vibrato_rate=manner.vibrato_rate * 1.07, breath=None)
        for notes in melodies:
            sound += sing(voice, notes, song.seconds, other, rng, bend)[0] * (1.0 if take == 0 else 0.5)
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


def probe(patch: Patch) -> Patch | str:
    """A recorded voice with the keys that it can sing, by the pitch of its recordings, or why it cannot."""
    try:
        hertz = syllable_pitch(*_samples(_recordings(patch), RANGE_SECONDS))
    except ScoresepError as fault:
        return str(fault)
    if not hertz:
        return "no syllable can be heard in its recordings"
    return replace(patch, keys=_keys(patch.name, round(69 + 12 * np.log2(hertz / 440))))


def _keys(kind: str, median: int) -> frozenset[int]:
    """What a voice can be made to sing, by its kind and the median of its pitch."""
    low, high = RANGES[kind]
    return frozenset(range(median + low, median + high + 1))


def _patch(place: Path, files: Sequence[Path], label: str, store: Path) -> Patch:
    stated = read_json_table(place / VOICE_FILE) if (place / VOICE_FILE).is_file() else {}
    credit = Credit(
        licence=str(stated.get("licence") or ""),
        attribution=str(stated.get("attribution") or ""),
        maker=place.name,
        weak=is_weak(stated.get("provenance")),
    )
    config = digest("\n".join([f"{VOICE_VERSION}", *map(sha256_of, files)]).encode())
    path = store / f"{config}.npz"
    kind = "singing" if stated.get("kind") == "singing" else "speech"
    return replace(
        _SINGER, path=path, label=label, name=kind, config=config, material=frozenset(map(str, files)), credit=credit
    )


def _recordings(patch: Patch) -> list[Path]:
    return [Path(path) for path in sorted(patch.material)]


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
        return synthetic_voice(int(patch.label.rpartition("/")[2]), min(patch.keys) - RANGES["speech"][0])
    if patch.path.is_file():
        with np.load(patch.path) as stored:
            return from_arrays(stored)
    samples, rate = _samples(_recordings(patch), ANALYSED_SECONDS)
    voice = analyse(samples, rate)
    if voice is None:
        raise Damaged(
            "no syllable can be heard in its recordings", file=patch.label, remedy="take it out of the folder"
        )
    kept = to_arrays(voice)
    patch.path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(patch.path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **kept)  # type: ignore[arg-type]  # its stubs take a name for allow_pickle
    return from_arrays(kept)  # what others will find, so that all sing alike


VOICE = SoundSource(play, probe=probe)
