"""What decides the content of a rendered corpus, and the file that remembers it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scoresep.datasets.splits import SPLITS
from scoresep.errors import AlreadyExists, Damaged, InvalidValue, Mismatch
from scoresep.files import read_text, write_json, writing
from scoresep.instruments import INSTRUMENTS, nearest
from scoresep.rendering.composer import COMPOSER_VERSION
from scoresep.rendering.song import Song, digest
from scoresep.rendering.sources.soundfont import default_soundfont, soundfont_digest

_REMEDY = "choose another folder or remove this one"
SETTINGS_FILE = "render.json"
RENDER_VERSION = 2
"""Goes into a corpus's settings: raise it when the same music gives other audio."""
MIDI_VERSION = 2
"""The same of songs from MIDI files: raise it when the same file gives other music."""
CHAIN_VERSION = 1
"""The same for corpora with chains alone: raise it when the same music gives other audio there."""
BAND_VERSION = 2
"""The same for songs of bands alone: raise it when the same seed gives other music."""
_CHAIN_SETTINGS = (
    *("packs", "pack_share", "weak_packs", "impulses", "chains"),
    *("voices", "bands", "charts", "grooves", "levels"),
)
"""What a corpus remembers only if it was asked for."""
DEFAULT_SONGS = 60
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""


# How loud the stems of a song are against each other: a way of mixing is a row of `LEVELS`

Spread = tuple[float, float]
"""Mean and standard deviation, LU against the common loudness of stems."""
EQUAL: dict[str, Spread] = {}
RECORD: dict[str, Spread] = {
    "vocals": (3.0, 2.0),
    "drums": (2.0, 2.5),
    "bass": (0.0, 2.5),
    "guitar": (-2.0, 3.5),
    "piano": (-2.0, 3.5),
    "": (-4.0, 4.0),
}
"""A singer in front, drums and bass strong, the others about each other or far behind."""
LEVELS = {"equal": EQUAL, "record": RECORD}
FURTHEST = 2.5
"""Standard deviations beyond which none is drawn."""


@dataclass(frozen=True)
class RenderSettings:
    """What decides the content of a corpus.

    Attributes:
        songs: number of songs; None: 60 from the composer, or all of `midi_dir`.
        midi_dir: folder searched recursively for MIDI files; None: compose.
        soundfonts: banks the patches come from.
        groups: instruments (`scoresep.instruments`) that are rendered; none: all that the music has.
        seed: of music, patches, splits and hold-out.
        seconds: length of a composed song, longest excerpt of a MIDI file.
        sample_rate: of the audio files (Hz).
        splits: shares of train, validation and test; with three songs or more each has at least one.
        sounds: folders of sounds that play beside the SoundFonts (`sources.folders`).
        weak_packs: whether packs and voices of weak provenance are used.
        pack_share: share of the parts that those sounds play, where they can.
        impulses: folder of impulse responses; None: where there are chains, synthesised ones.
        chains: whether stems go through amplifiers, effects and rooms; None: with `sounds` or `impulses`.
        voices: folders of recorded voices that sing the parts of `vocals`; formants do where there is none.
        bands: whether songs are composed for whole bands, in styles (`composer.band`).
        charts, grooves: folders of chord charts and of drummers' takes that bands play from.
        levels: how loud stems are, a row of `LEVELS`; None: as on records for bands, else equal.
    """

    songs: int | None = None
    midi_dir: Path | None = None
    soundfonts: tuple[Path, ...] = field(default_factory=lambda: (default_soundfont(),))
    groups: tuple[str, ...] = ()
    seed: int = 0
    seconds: float = 30.0
    sample_rate: int = 44100
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1)
    sounds: tuple[Path, ...] = ()
    weak_packs: bool = False
    pack_share: float = 0.7
    impulses: Path | None = None
    chains: bool | None = None
    voices: tuple[Path, ...] = ()
    bands: bool = False
    charts: Path | None = None
    grooves: Path | None = None
    levels: str | None = None

    def wants(self, group: str | None) -> bool:
        """Whether parts of a group are rendered."""
        return not self.groups or group in self.groups

    @property
    def with_levels(self) -> str:
        return self.levels or ("record" if self.bands else "equal")

    @property
    def with_chains(self) -> bool:
        return bool(self.sounds or self.impulses) if self.chains is None else self.chains

    def __post_init__(self) -> None:
        faults = []
        if self.songs is not None and self.songs < 1:
            faults.append(f"songs must be at least 1, not {self.songs}")
        if self.seed < 0:
            faults.append(f"seed must not be negative, not {self.seed}")
        if not 2.0 <= self.seconds <= 3600.0:
            faults.append(f"seconds must be from 2 to 3600, not {self.seconds}")
        if not 8000 <= self.sample_rate <= 192000:
            faults.append(f"sample rate must be from 8000 to 192000 Hz, not {self.sample_rate}")
        if (
            len(self.splits) != len(SPLITS)
            or min(self.splits) <= 0
            or not math.isclose(sum(self.splits), 1, abs_tol=1e-6)
        ):
            faults.append(f"splits must be three positive shares that add up to 1, not {self.splits}")
        if not 0 <= self.pack_share <= 1:
            faults.append(f"the share of packs must be from 0 to 1, not {self.pack_share}")
        if self.impulses is not None and self.chains is False:
            faults.append("impulse responses are for chains; leave one of the two settings out")
        if self.bands and self.midi_dir is not None:
            faults.append("bands are composed; leave out either the MIDI files or the bands")
        if (self.charts or self.grooves) and not self.bands:
            faults.append("charts and grooves are for bands; ask for bands, too")
        if self.with_levels not in LEVELS:
            faults.append(f"unknown levels '{self.levels}'{nearest(self.with_levels, LEVELS)}")
        for name in self.groups:
            if name not in INSTRUMENTS:
                faults.append(f"unknown group '{name}'{nearest(name, INSTRUMENTS)}")
        if faults:
            raise InvalidValue("cannot render: " + "; ".join(faults))


def draw_level(levels: str, group: str, rng: np.random.Generator) -> float:
    """LU by which a stem of `group` is louder than the others; it has one gain, so what is played softly stays soft."""
    rows = LEVELS[levels]
    mean, deviation = rows.get(group, rows.get("", (0.0, 0.0)))
    return mean + deviation * float(np.clip(rng.standard_normal(), -FURTHEST, FURTHEST))


def split_sequence(count: int, shares: Sequence[float]) -> list[str]:
    """Split of song 0, 1, ... `count` - 1: each song goes where most is missing, so a longer sequence starts the same.

    Songs 0, 1, 2 are train, validation, test, so that three songs make a whole corpus.
    """
    counts = [0] * len(SPLITS)
    sequence = []
    for number in range(count):
        due = [share * (number + 1) - count for share, count in zip(shares, counts, strict=True)]
        chosen = number if number < len(SPLITS) else due.index(max(due))
        counts[chosen] += 1
        sequence.append(SPLITS[chosen])
    return sequence


def temporary_name(folder: Path) -> Path:
    """Where a track is written until it is whole; no reader looks for names that start with a dot."""
    return folder.with_name(f".{folder.name}.tmp")


def claim(
    out: Path, settings: RenderSettings, songs: Sequence[Song | None], sounds: dict[str, str] | None = None
) -> None:
    """See that `out` is free or holds the beginning of this corpus, and write its settings.

    `sounds` are what is remembered of folders of sounds and impulse responses.

    Raises:
        AlreadyExists: `out` is a file, or holds something else.
        Mismatch: it was rendered with another setting, or with more songs.
        Damaged: its settings cannot be read.
        Unwritable: the disk refuses.
    """
    described = {**_described(settings, songs), **(sounds or {})}
    path = out / SETTINGS_FILE
    if out.exists() and not out.is_dir():
        raise AlreadyExists("not a folder", file=out, remedy=_REMEDY)
    if path.is_file():
        _compare(out, _read_settings(path), described)
    elif out.is_dir() and any(out.iterdir()):
        raise AlreadyExists("not empty, and not a rendered corpus", file=out, remedy=_REMEDY)
    with writing(out):
        write_json(path, described)
        for split in SPLITS:
            for stale in (out / split).glob(temporary_name(Path("Track*")).name):
                shutil.rmtree(stale)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(read_text(path))
    except (OSError, ValueError) as fault:
        raise Damaged(f"not readable ({fault})", file=path, remedy=_REMEDY) from fault
    if not isinstance(settings, dict) or not isinstance(settings.get("songs"), int):
        raise Damaged("does not describe a rendered corpus", file=path, remedy=_REMEDY)
    return settings


def _compare(out: Path, kept: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in (*wanted, *(name for name in _CHAIN_SETTINGS if name not in wanted)):
        if name not in ("songs", "music") and kept.get(name) != wanted.get(name):
            problem = f"rendered with {name} = {kept.get(name)}, not {wanted.get(name)}"
            raise Mismatch(problem, file=out, remedy=_REMEDY)
    if kept["songs"] > wanted["songs"]:
        problem = f"rendered with songs = {kept['songs']}, more than {wanted['songs']}"
        raise Mismatch(problem, file=out, remedy=_REMEDY)
    music = kept.get("music")
    if not isinstance(music, list) or wanted["music"][: len(music)] != music:
        raise Mismatch("rendered from other MIDI files", file=out, remedy=_REMEDY)


def _described(settings: RenderSettings, songs: Sequence[Song | None]) -> dict[str, Any]:
    """Settings as JSON: SoundFonts by name and md5, MIDI songs by their fingerprints, no paths (a corpus may move)."""
    described: dict[str, Any] = {
        "render_version": RENDER_VERSION,
        "composer_version": COMPOSER_VERSION,
        "source": "composer" if settings.midi_dir is None else "midi",
        **({} if settings.midi_dir is None else {"midi_version": MIDI_VERSION}),
        "groups": list(settings.groups),
        "seed": settings.seed,
        "seconds": settings.seconds,
        "sample_rate": settings.sample_rate,
        "splits": list(settings.splits),
        "soundfonts": {path.name: soundfont_digest(path) for path in settings.soundfonts},
        "songs": len(songs),
        "music": [song.uuid for song in songs if song],
    }
    if settings.sounds:
        described |= {"pack_share": settings.pack_share, "weak_packs": settings.weak_packs}
    if settings.with_chains:
        described["chains"] = CHAIN_VERSION
    if settings.bands:
        described["bands"] = BAND_VERSION
        described |= {name: _folder(path) for name in ("charts", "grooves") if (path := getattr(settings, name))}
    if settings.with_levels != "equal":
        described["levels"] = settings.with_levels
    return described


def _folder(path: Path) -> str:
    """Digest of what lies in a folder, whatever it is called."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest("\n".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files).encode())
