"""Readers of damaged files: a file is read, or refused with its name and a reason; nothing else ever happens.

Thousands of cases on demand: see conftest.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile

from scoresep import cli
from scoresep.audio.loading import read_audio
from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.cache.track import compile_track
from scoresep.datasets.slakh import open_slakh, read_track
from scoresep.datasets.splits import SPLITS, read_split_csv, read_split_file
from scoresep.errors import ScoresepError
from scoresep.executor import Engine
from scoresep.instruments import checked, choose, read_instruments
from scoresep.score.parts import read_midi

pytestmark = pytest.mark.robustness

DAY = 86_400.0
SETTINGS = CacheSettings(instruments=choose(["piano", "guitar", "bass", "drums"]))
NAMES = {"a", "b", "c/d"}
SPLIT_LISTS = {"train": ["Track00001", "Track00002"], "validation": ["Track00003"], "test": []}
SPLIT_ACTIONS = {
    "Track00001": {"action": "move", "source_split": "train", "destination_split": "test"},
    "Track00002": {"action": "omit", "source_split": "train"},
    "Track00003": {"action": None, "source_split": "test"},
}
GROUPS = """other = true
[keys]
programs = ["0-7", 16]
names = ["*piano*"]
[drums]
programs = [128]
kind = "percussive"
[low]
programs = ["32-39"]
midi_program = 33
"""


# What can be said of anything that a reader gives


def read_sound(path: Path) -> np.ndarray:
    samples, rate = read_audio(path)
    assert samples.dtype == np.float32 and samples.ndim == 1 and len(samples)
    assert np.isfinite(samples).all() and 1000 < rate < 1_000_000
    return samples


def read_score(path: Path) -> int:
    parts = read_midi(path)
    for part in parts:
        assert len(part) == len(part.offset) == len(part.pitch) == len(part.velocity) > 0
        assert (part.onset >= 0).all() and (part.offset > part.onset).all() and (part.offset <= DAY).all()
        assert (np.diff(part.onset) >= 0).all() and (np.diff(part.bend_time) >= 0).all()
        for values, last in ((part.pitch, 127), (part.velocity, 127)):
            assert values.min() >= 0 and values.max() <= last
        assert len(part.bend) == len(part.bend_time) and np.isfinite(part.bend_time).all()
        assert (np.abs(part.bend) < 130).all() and 0 <= part.program <= 127
        part.name.encode()
    notes = sum(map(len, parts))
    assert notes <= path.stat().st_size
    return notes


def read_metadata(path: Path) -> None:
    track = read_track(path.parent, "train")
    assert track.problem or track.stems
    for text in (track.problem, track.remark, track.uuid):
        assert text.isprintable() and len(text) < 400, text
    assert all(stem.audio.exists() and 0 <= stem.program <= 128 for stem in track.stems)
    if track.problem:
        raise ScoresepError(f"{path}: {track.problem}")


def read_splits(path: Path) -> None:
    assert set(read_split_file(path).places.values()) <= {*SPLITS, "omit", "keep"}


def read_table(path: Path) -> None:
    file = read_split_csv(path, NAMES)
    assert set(file.places) <= NAMES and set(file.places.values()) <= set(SPLITS)


def read_groups(path: Path) -> None:
    groups = read_instruments(path)
    assert checked(groups) == groups
    assert all(0 <= program <= 128 for group in groups for program in group.programs)


# Seeds


def sound(path: Path) -> None:
    """A second of two tones in a little noise, so that nowhere is digital silence."""
    rng = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    samples = 0.2 * np.sin(2 * np.pi * 261.6 * time) + 0.1 * np.sin(2 * np.pi * 330 * time) + rng.normal(0, 0.01, 16000)
    container, subtype = {".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"), ".mp3": ("MP3", "MPEG_LAYER_III")}.get(
        path.suffix, (path.suffix[1:].upper(), "PCM_16")
    )
    soundfile.write(path, samples, 16000, subtype, format=container)


def score(path: Path) -> None:
    """Three parts with bends, a bend range, pedal and drums."""
    midi = pretty_midi.PrettyMIDI(resolution=480, initial_tempo=100)
    for number, (program, is_drum) in enumerate(((0, False), (33, False), (0, True))):
        part = pretty_midi.Instrument(program, is_drum=is_drum, name=f"part {number}")
        part.notes = [pretty_midi.Note(60 + n, 40 + n + number, 0.3 * n, 0.3 * n + 0.5) for n in range(12)]
        part.pitch_bends = [pretty_midi.PitchBend(300 * n, 0.1 * n) for n in range(20)]
        controls = ((101, 0), (100, 0), (6, 12), (38, 0), (64, 127))
        part.control_changes = [pretty_midi.ControlChange(control, value, 0) for control, value in controls]
        midi.instruments.append(part)
    midi.write(str(path))


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: of the file to damage.
        make: writes a whole one.
        read: reads it, and fails the test if what comes back is impossible.
        text: whether it is text.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    text: bool = False


def holding(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


SOUNDS = ("flac", "wav", "rf64", "w64", "aiff", "caf", "au", "ogg", "opus", "mp3")
FORMATS = {
    **{kind: Format(f"a.{kind}", sound, read_sound) for kind in SOUNDS},
    "midi": Format("a.mid", score, read_score),
    "split lists": Format("a.json", holding(json.dumps(SPLIT_LISTS, indent=1)), read_splits, text=True),
    "split actions": Format("a.json", holding(json.dumps(SPLIT_ACTIONS, indent=1)), read_splits, text=True),
    "split table": Format("a.csv", holding("name,split\na,train\nb,test\nc/d,validation\n"), read_table, text=True),
    "groups": Format("a.toml", holding(GROUPS), read_groups, text=True),
}


def attempt(read: Callable[[Path], object], path: Path) -> object | None:
    """What a reader gives, or None if it refuses the file as it should: by name."""
    try:
        return read(path)
    except ScoresepError as fault:
        assert path.name in str(fault), fault
        return None


# One file


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path, fuzz, kind):
    wanted = FORMATS[kind]
    path = tmp_path / wanted.name
    wanted.make(path)
    wanted.read(path)
    seed = path.read_bytes()
    for n in range(fuzz.cases):
        path.write_bytes(fuzz.mutant(seed, fuzz.text if wanted.text else fuzz.binary, f"{kind}-{n}"))
        with fuzz.limits(f"{kind}-{n}"):
            attempt(wanted.read, path)


def test_damaged_metadata_is_read_or_refused(tmp_path, make, fuzz):
    path = make.track(tmp_path / "Track00001", make.usual_stems(1, 1.0), 1.0) / "metadata.yaml"
    read_metadata(path)
    seed = path.read_bytes()
    for n in range(fuzz.cases):
        path.write_bytes(fuzz.mutant(seed, fuzz.text, f"metadata-{n}"))
        with fuzz.limits(f"metadata-{n}"):
            attempt(read_metadata, path)


def test_what_is_read_of_a_damaged_flac_is_what_was_in_it(tmp_path, fuzz):
    """FLAC has checksums: no sample is ever made up, and none is replaced by silence."""
    path = tmp_path / "a.flac"
    sound(path)
    seed, whole, same = path.read_bytes(), read_sound(path), 0
    for n in range(fuzz.cases):
        path.write_bytes(fuzz.mutant(seed, fuzz.binary, f"flac-truth-{n}"))
        with fuzz.limits(f"flac-truth-{n}"):
            samples = attempt(read_sound, path)
        if samples is not None:
            assert np.array_equal(samples, whole[: len(samples)]), f"case flac-truth-{n}"
            same += 1
    assert same < fuzz.cases / 2


@pytest.mark.parametrize("kind", [*SOUNDS, "midi"])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, fuzz, kind):
    path = tmp_path / FORMATS[kind].name
    FORMATS[kind].make(path)
    whole = path.read_bytes()
    tracks = [place for place in range(len(whole)) if whole[place : place + 4] == b"MTrk"] if kind == "midi" else []
    for length in {*range(0, len(whole), max(1, len(whole) // (2 * fuzz.cases))), len(whole) - 1, *tracks}:
        path.write_bytes(whole[:length])
        with fuzz.limits(f"cut {length}"):
            assert attempt(FORMATS[kind].read, path) is None, f"{kind} of {length} bytes of {len(whole)}"


def test_small_notes_of_a_broken_tempo_are_not_lost_in_silence(tmp_path):
    """A beat of no time, or of no ticks, would take the length of every note."""
    path = tmp_path / "a.mid"
    score(path)
    whole = path.read_bytes()
    tempo = whole.index(b"\xff\x51\x03") + 3
    for broken in (whole[:12] + b"\0\0" + whole[14:], whole[:tempo] + bytes(3) + whole[tempo + 3 :]):
        path.write_bytes(broken)
        assert attempt(read_score, path) is None


STREAMINFO = 8
"""Where a FLAC file's first block of metadata begins; its bytes 10 to 17 hold the rate, the format and the length."""


def flac_of_length(samples: int) -> Callable[[bytearray], None]:
    def forge(data: bytearray) -> None:
        data[STREAMINFO + 13] = data[STREAMINFO + 13] & 0xF0 | samples >> 32
        data[STREAMINFO + 14 : STREAMINFO + 18] = (samples & 0xFFFFFFFF).to_bytes(4)

    return forge


def flac_of_rate(rate: int) -> Callable[[bytearray], None]:
    def forge(data: bytearray) -> None:
        data[STREAMINFO + 10 : STREAMINFO + 12] = (rate >> 4).to_bytes(2)
        data[STREAMINFO + 12] = data[STREAMINFO + 12] & 0x0F | (rate & 0xF) << 4

    return forge


def wav_field(place: int, size: int, value: int) -> Callable[[bytearray], None]:
    def forge(data: bytearray) -> None:
        data[place : place + size] = value.to_bytes(size, "little")

    return forge


FORGED = {
    "FLAC of 6 weeks": ("a.flac", flac_of_length((1 << 36) - 1)),
    "FLAC of 23 hours": ("a.flac", flac_of_length(23 * 3600 * 16000)),
    "FLAC of 1 MHz": ("a.flac", flac_of_rate(1_000_000)),
    "FLAC of 1 Hz": ("a.flac", flac_of_rate(1)),
    "WAV of 1 GB": ("a.wav", wav_field(40, 4, 1 << 30)),
    "WAV of 1 Hz": ("a.wav", wav_field(24, 4, 1)),
    "WAV of 2 GHz": ("a.wav", wav_field(24, 4, (1 << 31) - 1)),
    "WAV of 0 Hz": ("a.wav", wav_field(24, 4, 0)),
    "WAV of 65535 channels": ("a.wav", wav_field(22, 2, 65535)),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_a_forged_header_promises_takes_no_memory(tmp_path, fuzz, name):
    file, forge = FORGED[name]
    path = tmp_path / file
    sound(path)
    data = bytearray(path.read_bytes())
    forge(data)
    path.write_bytes(data)
    with fuzz.limits(name):
        assert attempt(lambda path: read_audio(path, 16000), path) is None


def test_a_length_that_no_memory_holds_is_refused(tmp_path, fuzz):
    """A file of real size: it could hold as many samples of digital silence as its header says, memory could not."""
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 80_000), 16000)
    data = bytearray(path.read_bytes())
    flac_of_length(fuzz.memory // 2)(data)
    path.write_bytes(data)
    with fuzz.limits("a large FLAC"):
        assert attempt(read_sound, path) is None


def test_an_ogg_that_is_damaged_within_is_refused(tmp_path):
    """libsndfile reads what comes after the damage, or what came before, as if it were all."""
    path = tmp_path / "a.ogg"
    sound(path)
    whole = path.read_bytes()
    for place in range(len(whole) // 20, len(whole), len(whole) // 20):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert attempt(read_sound, path) is None, place


# Tracks


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make) -> Path:
    """A track of a second."""
    return make.track(tmp_path_factory.mktemp("tracks") / "Track00001", make.usual_stems(1, 1.0), 1.0)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stem != "mix")


def damage(path: Path, fuzz, case: str) -> None:
    mutators = fuzz.text if path.suffix == ".yaml" else fuzz.binary
    path.write_bytes(fuzz.mutant(path.read_bytes(), mutators, case))


def test_a_track_with_a_damaged_file_is_compiled_or_left_out(tmp_path, folder, fuzz):
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))
    files = files_of(copy)
    compile_track(read_track(copy, "train"), SETTINGS)
    for n in range(fuzz.cases):
        path = files[n % len(files)]
        whole = path.read_bytes()
        damage(path, fuzz, f"track-{n}")
        with fuzz.limits(f"track-{n}, {path.name}"):
            try:
                compiled = compile_track(read_track(copy, "train"), SETTINGS)
            except ScoresepError as fault:
                assert str(fault).isprintable(), fault
            else:
                for name, array in compiled.arrays.items():
                    assert array.dtype.kind in "iu" or np.isfinite(array).all(), name
                assert compiled.row["level"] > 0 and compiled.row["scale"] > 0
                assert all(finding.detail.isprintable() for finding in compiled.findings)
        path.write_bytes(whole)


def test_a_corpus_of_damaged_tracks_is_prepared(tmp_path, folder, fuzz):
    """Every track is in the cache, or left out with a reason."""
    root = tmp_path / "slakh"
    wanted = [f"Track{n:05d}" for n in range(1, 2 + max(20, fuzz.cases // 5))]
    for n, name in enumerate(wanted):
        copy = Path(shutil.copytree(folder, root / "train" / name))
        files = files_of(copy)
        if n:
            damage(files[n % len(files)], fuzz, f"corpus-{n}")
    with fuzz.limits("corpus"):
        report = prepare(open_slakh(root), tmp_path / "c.h5", SETTINGS, Engine(1))
    cache = Cache(tmp_path / "c.h5")
    reasons = {item.track: item.reason for item in cache.excluded}
    assert sorted([*reasons, *cache.tracks["id"]]) == wanted and len(reasons) > 5
    assert all(reason and reason.isprintable() for reason in reasons.values())
    assert tuple(cache.excluded) == report.excluded and report.table.exists()


# Messages


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a lone \ud800 surrogate", r"a lone \ud800 surrogate"),
        ("an escape \x1b[31m", r"an escape \x1b[31m"),
        ("a\nb\rc\x85d\0", r"a b c d\x00"),
        ("a" * 70_000, "aaa"),
    ],
)
def test_a_message_is_one_line_that_can_be_shown(text, shown, capfd):
    """Messages hold what is in files."""
    with pytest.raises(SystemExit):
        cli.fail(f"file x: {text}")
    said = capfd.readouterr().err
    assert said.startswith(f"error: file x: {shown}") and said.count("\n") == 1
    assert said[:-1].isprintable() and len(said) < 1100
