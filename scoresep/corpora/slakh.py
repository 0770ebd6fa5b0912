"""Slakh2100 and all that is laid out like it. Called by cache preparation.

Read are the FLAC edition with split folders, the 16 kHz WAV edition without, and corpora made by `scoresep render`:
`TrackNNNNN/{metadata.yaml, mix.*, MIDI/SNN.mid, stems/SNN.*}`. docs/data.md tells what is peculiar about Slakh.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import yaml

from scoresep.corpora.base import Corpus, Stem, Track
from scoresep.errors import ScoresepError
from scoresep.instruments import DRUM_PROGRAM, INSTRUMENTS

ENVIRONMENT = "SLAKH_ROOT"
USUAL_FOLDERS = (
    "slakh2100_flac_redux",
    "slakh2100_redux_16k",
    "slakh2100_flac",
    "slakh2100",
    "babyslakh_16k",
    "slakh",
)
"""Names looked for in the working folder, in `data/` below it and in the home folder."""
SPLIT_FOLDERS = ("train", "validation", "test")
LEFT_OUT_FOLDER = "omitted"
AUDIO_SUFFIXES = (".flac", ".wav")
SHARES = {"validation": 0.1, "test": 0.1}
"""Share of tracks a split gets where the corpus has no split folders."""

OCTAVE_RULE = "bass-octave"
"""Kontakt renders bass an octave below its MIDI, for which the data set's MIDI was raised by 12."""
OCTAVE_PLUGIN_SUFFIX = ".nkm"
NOT_AN_OCTAVE_OFF = frozenset({"scarbee_jay_bass_slap_both.nkm"})


def find_root(root: str | Path | None) -> Path:
    """The corpus folder: the argument, else `SLAKH_ROOT`, else a usual name.

    Raises:
        ScoresepError: none of them is a folder.
    """
    if root is not None:
        if not Path(root).is_dir():
            raise ScoresepError(f"corpus {root} is not a folder; give the folder that holds Slakh's tracks")
        return Path(root)
    if named := os.environ.get(ENVIRONMENT):
        if not Path(named).is_dir():
            raise ScoresepError(f"{ENVIRONMENT} names {named}, which is not a folder; set it to the folder of Slakh")
        return Path(named)
    for place in (Path(), Path("data"), Path.home()):
        for name in USUAL_FOLDERS:
            if (place / name).is_dir():
                return place / name
    raise ScoresepError(
        f"no corpus found; give its folder (`scoresep prepare slakh FOLDER`), set {ENVIRONMENT}, "
        "or make one with `scoresep render FOLDER`"
    )


def open_slakh(root: str | Path | None = None) -> Corpus:
    """List the tracks of a corpus in Slakh's layout, without opening audio or MIDI.

    Raises:
        ScoresepError: there is no such folder or no track in it.
    """
    root = find_root(root)
    splits = [name for name in SPLIT_FOLDERS if (root / name).is_dir()]
    tracks: list[Track] = []
    for split in splits:
        tracks += [read_track(folder, split) for folder in track_folders(root / split)]
    tracks += [_left_out(folder) for folder in track_folders(root / LEFT_OUT_FOLDER)]
    if not splits:
        tracks = assign_splits([read_track(folder, "train") for folder in track_folders(root)])
    if not tracks:
        raise ScoresepError(f"{root} holds no TrackNNNNN folder; give the folder that holds Slakh's tracks or splits")
    tracks.sort(key=lambda track: track.id)
    split_set = split_set_of(root, bool(splits))
    name = "rendered" if split_set == "rendered" else "slakh"
    return Corpus(name, root, split_set, (OCTAVE_RULE,), tuple(tracks))


def track_folders(folder: Path) -> list[Path]:
    """The track folders directly inside `folder`, by name."""
    return sorted(path for path in folder.glob("Track*") if path.is_dir())


def split_set_of(root: Path, has_folders: bool) -> str:
    """Name of the split that the folders follow, as results must state it: the original one leaks between splits."""
    if (root / "render.json").exists():
        return "rendered"
    if not has_folders:
        return "hashed"
    name = root.resolve().name.lower()
    return next((known for known in ("redux", "split2") if known in name), "orig")


def assign_splits(tracks: list[Track]) -> list[Track]:
    """Give tracks without split folders a split by the hash of their composition, so equal music stays together."""
    groups = sorted({_identity(track) for track in tracks}, key=lambda uuid: hashlib.sha256(uuid.encode()).digest())
    held = {
        split: max(1, round(share * len(groups))) if len(groups) > len(SHARES) else 0 for split, share in SHARES.items()
    }
    split_of = dict.fromkeys(groups, "train")
    for split, count in held.items():
        taken = [uuid for uuid in groups if split_of[uuid] == "train"][:count]
        split_of.update(dict.fromkeys(taken, split))
    return [Track(t.id, split_of[_identity(t)], t.uuid, t.stems, t.problem) for t in tracks]


def _identity(track: Track) -> str:
    return track.uuid or track.id


def read_track(folder: Path, split: str) -> Track:
    """Read one track's metadata; what cannot be used comes back with its `problem` set."""
    try:
        metadata = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
        uuid = str(metadata.get("UUID", ""))
        listed = metadata["stems"].items()
        stems = [stem for name, about in listed if (stem := read_stem(folder, str(name), about))]
    except FileNotFoundError:
        return Track(folder.name, split, problem="metadata.yaml is missing")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as fault:
        reason = f"{type(fault).__name__}: {fault}".replace("\n", " ")
        return Track(folder.name, split, problem=f"metadata.yaml is unreadable ({reason})")
    problem = "" if stems else "no stem has audio"
    return Track(folder.name, split, uuid, tuple(stems), problem)


def read_stem(folder: Path, name: str, about: dict[str, Any]) -> Stem | None:
    """One stem, or None if it has no audio file. Files are believed, not flags, nor the metadata's folder names:
    `audio_rendered` is false for stems that exist in the 16 kHz edition, and one track names another machine's folders.
    """
    if "/" in name or "\\" in name:
        raise ValueError(f"stem name {name!r} is a path")
    candidates = [folder / "stems" / f"{name}{suffix}" for suffix in AUDIO_SUFFIXES]
    audio = next((path for path in candidates if path.is_file()), None)
    if audio is None:
        return None
    score = folder / "MIDI" / f"{name}.mid"
    program, is_drum = int(about["program_num"]), bool(about["is_drum"])
    return Stem(
        name=name,
        program=program,
        is_drum=is_drum or program == DRUM_PROGRAM,
        audio=audio,
        score=score if score.is_file() else None,
        transpose=octave_shift(program, is_drum, str(about.get("plugin_name", ""))),
    )


def octave_shift(program: int, is_drum: bool, plugin: str) -> int:
    """Semitones from a stem's written to its sounding pitch: the `bass-octave` rule (docs/data.md)."""
    bass = not is_drum and program in INSTRUMENTS["bass"].programs
    return -12 if bass and plugin.endswith(OCTAVE_PLUGIN_SUFFIX) and plugin not in NOT_AN_OCTAVE_OFF else 0


def _left_out(folder: Path) -> Track:
    return Track(folder.name, "", problem="left out by the data set (folder 'omitted')")
