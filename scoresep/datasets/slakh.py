"""Slakh2100 and all that is laid out like it.

Read are the FLAC edition with split folders, the 16 kHz WAV edition without, and corpora made by `scoresep render`:
`TrackNNNNN/{metadata.yaml, mix.*, MIDI/SNN.mid, stems/SNN.*}`. docs/reference/data.md tells what is peculiar about
Slakh. Nothing in a `metadata.yaml` is trusted: what is wrong with one is a `ValueError`, whose message is the reason
that the report of `prepare` gives.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, NamedTuple

import yaml

from scoresep.datasets.base import Corpus, Dataset, Stem, Track, dataset_folder
from scoresep.datasets.splits import (
    SPLITS,
    SplitFile,
    apply_split_file,
    assign_splits,
    original_split,
    read_split_file,
)
from scoresep.errors import InvalidValue, Mismatch, NotFound
from scoresep.files import decoded
from scoresep.instruments import DRUM_PROGRAM, INSTRUMENTS, suggestion

OMITTED_FOLDER = "omitted"
STEM_SUFFIXES = (".flac", ".wav")
SPLIT_SETS = ("orig", "split2", "redux")
"""The dataset's own split sets (its utilities' documentation asks results to name one of them)."""

OCTAVE_RULE = "bass-octave"
"""Kontakt renders bass an octave below its MIDI, for which the dataset's MIDI was raised by 12."""
OCTAVE_PLUGIN_SUFFIX = ".nkm"
NOT_AN_OCTAVE_OFF = frozenset({"scarbee_jay_bass_slap_both.nkm"})

LARGEST_METADATA = 1 << 20
"""Bytes; Slakh's are of some thousand."""
SAFE_FOR_LIBYAML = 16_000
"""Bytes of metadata that the fast parser is given."""


def open_slakh(
    root: str | Path,
    split_set: Annotated[
        str | None, "Name of the split that the folders follow (orig, split2, redux), or a JSON file of splits."
    ] = None,
) -> Corpus:
    """List the tracks of a dataset in Slakh's layout, without opening audio or MIDI.

    Args:
        root: the folder with the tracks, or with the split folders that hold them.
        split_set: `orig`, `split2` or `redux` to say which one the folders follow, or a JSON file, which then decides
            in their place; None names the folders as well as can be told.

    Raises:
        ScoresepError: there is no such folder, no track in it, no such split set, or none that fits the dataset.
    """
    root = dataset_folder(root).absolute()
    file, claim = read_choice(split_set)
    tracks: Sequence[Track] = list_tracks(root, with_omitted=file is not None)
    if not tracks:
        raise NotFound(
            "no TrackNNNNN folder in it", file=root, remedy="give the folder that holds Slakh's tracks or splits"
        )
    if not has_split_folders(root):
        tracks = assign_splits(tracks)
    notes: tuple[str, ...] = ()
    if file:
        if absent := file.absent(tracks):
            notes = (f"{len(absent)} tracks of {file.path.name} are not there ({absent[0]}, ...)",)
        tracks, name = apply_split_file(tracks, file, numbered=not is_rendered(root)), file.name
    elif claim == "orig" and not has_split_folders(root):
        tracks, name = [_as_numbered(track) for track in tracks], claim
    else:
        name = checked_claim(claim, root) if claim else split_set_of(root, tracks)
    kind = "rendered" if is_rendered(root) else "slakh"
    return Corpus(kind, root, name, (OCTAVE_RULE,), tuple(tracks), notes=notes)


def read_choice(split_set: str | None) -> tuple[SplitFile | None, str]:
    """What `--split-set` gives: a file's splits, or the name of a split set ('' if neither is given).

    Raises:
        ScoresepError: it is neither a known name nor a readable JSON file.
    """
    if split_set is None or split_set in SPLIT_SETS:
        return None, split_set or ""
    if Path(split_set).suffix.lower() == ".json" or Path(split_set).is_file():
        return read_split_file(split_set), ""
    raise InvalidValue(
        f"split set '{split_set}' is neither a known one nor a JSON file",
        remedy=suggestion(split_set, SPLIT_SETS),
    )


def has_split_folders(root: Path) -> bool:
    return any((root / name).is_dir() for name in SPLITS)


def is_rendered(root: Path) -> bool:
    """Whether `scoresep render` made the dataset."""
    return (root / "render.json").exists()


def checked_claim(name: str, root: Path) -> str:
    """The split set that the user says the folders follow.

    Raises:
        ScoresepError: there are no folders that could follow it, or they are known to follow another.
    """
    if is_rendered(root):
        raise Mismatch(f"made by `scoresep render`, not Slakh2100 '{name}'", file=root, remedy="leave --split-set out")
    if not has_split_folders(root):
        raise Mismatch(
            f"no split folders that could follow '{name}'",
            file=root,
            remedy="give the dataset's file, such as redux.json",
        )
    return name


def split_set_of(root: Path, tracks: Sequence[Track]) -> str:
    """Name of the split that the folders follow, as results must state it: the original one leaks between splits."""
    if is_rendered(root):
        return "rendered"
    if not has_split_folders(root):
        return "hashed"
    name = root.resolve().name.lower()
    if known := next((known for known in ("redux", "split2") if known in name), ""):
        return known
    moved = any(track.split != original_split(track.id) for track in tracks if not track.omitted and not track.problem)
    return "folders" if moved else "orig"


def _as_numbered(track: Track) -> Track:
    split = original_split(track.id)
    return replace(track, split=split, omitted="" if split else "not among the numbers of Slakh2100")


def list_tracks(root: Path, with_omitted: bool = False) -> list[Track]:
    """The tracks below `root` in the splits of their folders, ordered by id; without split folders their split is ''.

    Args:
        with_omitted: read the metadata of omitted tracks too, which a split file may bring back.
    """
    places = {name: root / name for name in (*SPLITS, OMITTED_FOLDER)} | {"": root}
    folders: dict[str, list[tuple[str, Path]]] = {}
    for place, parent in places.items():
        for folder in track_folders(parent):
            folders.setdefault(folder.name, []).append((place, folder))
    outside = "lies in none of the split folders" if has_split_folders(root) else ""
    reasons = {"": outside, OMITTED_FOLDER: "left out by the data set (folder 'omitted')"}
    tracks = []
    for name, copies in sorted(folders.items()):
        place, folder = copies[0]
        reason, split = reasons.get(place, ""), place if place in SPLITS else ""
        if len(copies) > 1:
            where = " and ".join(f"folder '{place}'" if place else "no split folder" for place, _ in copies)
            tracks.append(Track(name, split, problem=f"is there more than once, in {where}; remove all but one"))
        elif reason and not with_omitted:
            tracks.append(Track(name, split, omitted=reason))
        elif reason:
            tracks.append(replace(read_track(folder, split), omitted=reason, problem=""))
        else:
            tracks.append(read_track(folder, split))
    return tracks


def track_folders(folder: Path) -> list[Path]:
    """The track folders directly inside `folder`, by name."""
    return sorted(path for path in folder.glob("Track*") if path.is_dir())


def read_track(folder: Path, split: str) -> Track:
    """Read one track's metadata; what cannot be used comes back with its `problem` set.

    Files are believed, not flags, nor the metadata's folder names: `audio_rendered` is false for stems that exist in
    the 16 kHz edition, and one track names another machine's folders.
    """
    try:
        metadata = read_metadata(folder / "metadata.yaml")
        audio, scores = files_in(folder / "stems"), files_in(folder / "MIDI")
        stems = tuple(stem for name, about in metadata.stems.items() if (stem := read_stem(name, about, audio, scores)))
    except FileNotFoundError:
        return Track(folder.name, split, problem="metadata.yaml is missing")
    except OSError as fault:
        name = Path(str(fault.filename)).name
        return Track(folder.name, split, problem=f"{name} cannot be read ({fault.strerror})")
    except ValueError as fault:
        return Track(folder.name, split, problem=f"metadata.yaml is unreadable ({fault})")
    problem = "" if stems else "no stem has audio"
    unheard = tuple(sorted(metadata.stems.keys() - {stem.name for stem in stems}))
    return Track(folder.name, split, metadata.uuid, stems, problem, remark=remark_on(metadata, stems), unheard=unheard)


def remark_on(metadata: Metadata, stems: Sequence[Stem]) -> str:
    """What is odd about a track's metadata though it can be used, or ''."""
    with_audio = {stem.name for stem in stems}
    lost = [name for name, about in metadata.stems.items() if name not in with_audio and _rendered(about)]
    foreign = ["its metadata names folders of another machine, which are ignored"] * metadata.foreign
    return "; ".join(foreign + [f"no audio for {', '.join(lost)}, which its metadata calls rendered"] * bool(lost))


def _rendered(about: Any) -> bool:
    return isinstance(about, dict) and about.get("audio_rendered") is True


def files_in(folder: Path) -> dict[str, Path]:
    """The files of a folder by name, none if there is no such folder. One listing is cheaper than asking for each."""
    try:
        return {entry.name: Path(entry.path) for entry in os.scandir(folder) if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def read_stem(name: str, about: Any, audio: dict[str, Path], scores: dict[str, Path]) -> Stem | None:
    """One stem, or None if it has no audio file.

    Args:
        about: what the metadata says of it.
        audio, scores: files of the folders stems/ and MIDI/ by name.

    Raises:
        ValueError: its name is a path, or what is said of it does not tell its instrument.
    """
    if "/" in name or "\\" in name:
        raise ValueError(f"stem name {name[:40]!r} is a path")
    file = next((audio[name + suffix] for suffix in STEM_SUFFIXES if name + suffix in audio), None)
    if file is None:
        return None
    program, is_drum = program_of(name, about)
    plugin = about.get("plugin_name")
    return Stem(
        name=name,
        program=program,
        is_drum=is_drum or program == DRUM_PROGRAM,
        audio=file,
        score=scores.get(f"{name}.mid"),
        transpose=octave_shift(program, is_drum, plugin if isinstance(plugin, str) else ""),
    )


def octave_shift(program: int, is_drum: bool, plugin: str) -> int:
    """Semitones from a stem's written to its sounding pitch: the `bass-octave` rule (docs/reference/data.md)."""
    bass = not is_drum and program in INSTRUMENTS["bass"].programs
    return -12 if bass and plugin.endswith(OCTAVE_PLUGIN_SUFFIX) and plugin not in NOT_AN_OCTAVE_OFF else 0


# metadata.yaml


class Metadata(NamedTuple):
    """What one file says.

    Attributes:
        uuid: identity of the composition, '' if there is none.
        stems: what is said of each stem, by its name.
        foreign: whether it names folders of the machine that it was written on.
    """

    uuid: str
    stems: dict[str, Any]
    foreign: bool = False


def read_metadata(path: Path) -> Metadata:
    """Read a track's metadata.

    Raises:
        FileNotFoundError: it is missing.
        OSError, ValueError: it cannot be opened, is not YAML, or not of Slakh's form; the message is the reason.
    """
    content = path.read_bytes()
    if len(content) > LARGEST_METADATA:
        raise ValueError(f"larger than {LARGEST_METADATA >> 20} MiB")
    # libyaml is 8 times faster, but overruns the stack where tens of thousands of brackets open
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if len(content) < SAFE_FOR_LIBYAML else yaml.SafeLoader
    try:
        metadata = yaml.load(decoded(content), loader)
    except Exception as fault:  # besides YAMLError: impossible dates and numbers, recursion, bytes that are no UTF-8
        raise ValueError(f"not YAML: {_yaml_problem(fault)}") from fault
    if not isinstance(metadata, dict):
        raise ValueError(f"holds {_kind(metadata)} instead of a table of UUID and stems")
    stems = metadata.get("stems")
    if not isinstance(stems, dict):
        raise ValueError(f"stems is {_kind(stems)} instead of a table" if "stems" in metadata else "has no stems")
    folders = [metadata.get(key) for key in ("audio_dir", "midi_dir")]
    # an anchor, of whatever system, makes a path absolute
    foreign = any(isinstance(folder, str) and PureWindowsPath(folder).anchor != "" for folder in folders)
    return Metadata(_uuid(metadata.get("UUID")), {str(name): about for name, about in stems.items()}, foreign)


def _uuid(value: Any) -> str:
    """The UUID as a text that any file can hold; '' for none."""
    uuid = "" if value is None else str(value) if isinstance(value, str | int | float) else None
    if uuid is None or len(uuid) > 200 or not uuid.isprintable():
        raise ValueError(f"UUID is {_kind(value)} instead of a short text")
    return uuid


def _yaml_problem(fault: Exception) -> str:
    """What a YAML parser says is wrong, with the line, as one short line that any file can hold."""
    mark = getattr(fault, "problem_mark", None)
    text = " ".join(str(getattr(fault, "problem", None) or fault or type(fault).__name__).split())[:200]
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"{text}, line {mark.line + 1}" if mark else text


def _kind(value: Any) -> str:
    """A value for a message, without the content of lists and tables, which may be endless."""
    kinds = {dict: "a table", list: "a list", set: "a set", type(None): "nothing"}
    return kinds.get(type(value)) or repr(value)[:40]


def program_of(name: str, about: Any) -> tuple[int, bool]:
    """`program_num` and `is_drum` of a stem.

    Raises:
        ValueError: one is missing or no such value; guessing would put the stem into a wrong group.
    """
    if not isinstance(about, dict):
        raise ValueError(f"stem {name} is {_kind(about)} instead of a table")
    if missing := [key for key in ("program_num", "is_drum") if about.get(key) is None]:
        raise ValueError(f"stem {name} has no {missing[0]}")
    program, is_drum = about["program_num"], about["is_drum"]
    if isinstance(program, str) and len(program) < 4 and program.isdecimal():
        program = int(program)
    if not isinstance(program, int) or isinstance(program, bool) or not 0 <= program <= DRUM_PROGRAM:
        raise ValueError(f"stem {name} has program_num {_kind(program)} instead of 0 to 127, or 128 for drums")
    if not isinstance(is_drum, bool):
        raise ValueError(f"stem {name} has is_drum {_kind(is_drum)} instead of true or false")
    return program, is_drum


SLAKH = Dataset(
    open_slakh,
    about="""Compile Slakh2100 (FLAC or 16 kHz WAV edition), or a dataset made by `scoresep render`.

    Without a folder: the one that SLAKH_ROOT names, else a usual folder name such as slakh2100_flac_redux.
    A stopped run goes on where it was.

    Example: scoresep prepare slakh ~/slakh2100_flac_redux --out cache.h5""",
    folder="Folder of the dataset; default: SLAKH_ROOT.",
    environment="SLAKH_ROOT",
    usual_folders=(
        "slakh2100_flac_redux",
        "slakh2100_redux_16k",
        "slakh2100_flac",
        "slakh2100",
        "babyslakh_16k",
        "slakh",
    ),
    hint="make one with `scoresep render FOLDER`",
)
