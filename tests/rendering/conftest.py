"""Sound packs that the tests make: tones of known pitch as WAV files, an SFZ file, a pack.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

PACK_RATE = 22050
DRUM_HERTZ = {36: 60.0, 38: 200.0, 42: 5000.0, 49: 3000.0, 45: 120.0, 51: 4000.0}


def tone(hertz: float, seconds: float = 2.5, decay: float = 0.7) -> np.ndarray:
    """Eight partials that decay, float32, from the first sample on."""
    time = np.arange(int(seconds * PACK_RATE)) / PACK_RATE
    partials = [np.sin(2 * np.pi * n * hertz * time) / n for n in range(1, 9) if n * hertz < PACK_RATE / 2]
    return (0.4 * np.sum(partials, axis=0) * np.exp(-time * decay)).astype(np.float32)


def write_pack(
    folder: Path,
    programs: Sequence[int],
    maker: str = "",
    lowest: int = 24,
    highest: int = 96,
    transposed: int = 0,
    colour: float = 0.7,
    **said: object,
) -> Path:
    """A pack of recorded tones every sixth key (a kit for program 128), sounding `transposed` semitones off."""
    (folder / "samples").mkdir(parents=True)
    lines = ["<global> ampeg_release=0.05"]
    keys = DRUM_HERTZ if 128 in programs else range(lowest, highest + 1, 6)
    for key in keys:
        hertz = DRUM_HERTZ[key] if 128 in programs else 440 * 2 ** ((key + transposed - 69) / 12)
        kit = 128 in programs
        soundfile.write(folder / "samples" / f"{key}.wav", tone(hertz, decay=20 * colour if kit else colour), PACK_RATE)
        span = f"lokey={key} hikey={key} loop_mode=one_shot" if kit else f"lokey={key - 3} hikey={key + 2}"
        lines.append(f"<region> sample=samples/{key}.wav {span} pitch_keycenter={key}")
    (folder / f"{folder.name}.sfz").write_text("\n".join(lines))
    about = {
        "gm_programs": list(programs),
        "maker": maker,
        "licence": "CC0 1.0",
        "attribution": f"{maker}'s {folder.name}",
    }
    (folder / "pack.json").write_text(json.dumps(about | said))
    return folder / f"{folder.name}.sfz"


@pytest.fixture(scope="session")
def make_pack() -> Callable[..., Path]:
    return write_pack


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two makers or more of guitar, piano, bass and drums."""
    folder = tmp_path_factory.mktemp("sounds")
    for n, (maker, family, programs) in enumerate(
        [
            ("Anna", "guitar", [27]),
            ("Anna", "guitar", [25]),
            ("Bert", "guitar", [26, 27]),
            ("Carl / Studio (Dora)", "guitar", [24]),
            ("Dora", "piano", [0]),
            ("Anna", "piano", [0, 1]),
            ("Bert", "piano", [4]),
            ("Emil", "bass", [33]),
            ("Fred", "bass", [34]),
            ("Anna", "drums", [128]),
            ("Gwen", "drums", [128]),
        ]
    ):
        write_pack(folder / family / f"{family}{n}", programs, maker, colour=0.5 + 0.1 * n, di=programs == [27])
    return folder


@pytest.fixture(scope="session")
def impulses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cabinet whose direct sound comes after 20 ms, a room, and their table."""
    folder = tmp_path_factory.mktemp("impulses")
    rng = np.random.default_rng(0)
    for name, direct, seconds in (("cabinet/box.wav", 0.02, 0.05), ("room/hall.wav", 0.0005, 0.5)):
        response = np.zeros(int(seconds * PACK_RATE))
        start = int(direct * PACK_RATE)
        tail = len(response) - start
        response[start:] = 0.05 * rng.standard_normal(tail) * np.exp(-np.arange(tail) * 8 / tail)
        response[start] = 1.0
        (folder / name).parent.mkdir()
        soundfile.write(folder / name, response, PACK_RATE)
    rows = ["| file | kind | licence | attribution |", "|---|---|---|---|"]
    rows += ["| cabinet/box.wav | guitar cabinet | CC BY 4.0 | Hanna |", "| room/hall.wav | hall | CC0 | Ivo |"]
    (folder / "INDEX.md").write_text("\n".join(rows))
    return folder
