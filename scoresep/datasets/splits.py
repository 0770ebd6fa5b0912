"""Which split a track belongs to: split files, splits by hash, and split leakage (one composition in several splits).

All but the reading of files is pure functions on tracks; docs/reference/data.md has the rules.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scoresep.datasets.base import Corpus, Track
from scoresep.errors import Mismatch, NotFound, WrongFormat
from scoresep.files import read_rows, read_text
from scoresep.instruments import nearest

SPLITS = ("train", "validation", "test")
"""By priority, the lowest first: copies of one piece stay in the highest-priority split that holds one."""
HELD_OUT_SHARES = {"validation": 0.1, "test": 0.1}
"""Share of the compositions that each split besides training gets by hash."""
LAST_ORIGINAL = {"train": 1500, "validation": 1875, "test": 2100}
"""Number of the last track of each split of Slakh2100-orig."""
OMIT, KEEP = "omit", "keep"
"""What a split file may say of a track instead of a split; KEEP is the `"action": null` of the dataset's utilities."""
SET_OF_FILE = {"redux": "redux", "splits_v2": "split2", "split_v2": "split2", "split2": "split2"}
"""Split sets that files of these names (without suffix) hold."""
JSON_FORMS = (
    "give redux.json or splits_v2.json of the dataset's utilities, or a file such as "
    '{"train": ["Track00001"], "validation": [], "test": ["Track00002"]}'
)


@dataclass(frozen=True)
class SplitFile:
    """What a split file says.

    Attributes:
        path: where it lies.
        places: track id -> a split, `OMIT` or `KEEP`.
        sources: track id -> the split that the file takes it from, where it says so.
    """

    path: Path
    places: dict[str, str]
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The split set: `redux` or `split2` if the file is called as in the dataset's utilities, else its stem."""
        return SET_OF_FILE.get(self.path.stem.lower(), self.path.stem)

    def absent(self, tracks: Iterable[Track]) -> list[str]:
        """Ids that the file places in a split but that are not among `tracks`, in order."""
        wanted = {track for track, place in self.places.items() if place != OMIT}
        return sorted(wanted - {track.id for track in tracks})


def read_split_file(path: str | Path) -> SplitFile:
    """Read a JSON file of splits, as the dataset's utilities have it or as plain lists (docs/reference/data.md).

    Raises:
        NotFound: it cannot be opened.
        WrongFormat: it is not JSON, of another form, or names a track twice.
    """
    path = Path(path)
    with _reading(path, JSON_FORMS):
        values = json.loads(read_text(path), object_pairs_hook=_without_repeats)
        if not isinstance(values, dict) or not values:
            raise ValueError("it holds no tracks by name")
        if any(name in SPLITS or isinstance(listed, list) for name, listed in values.items()):
            return SplitFile(path, _from_lists(values))
        places = {track: _from_action(track, about) for track, about in values.items()}
        sources = {track: str(about["source_split"]) for track, about in values.items() if "source_split" in about}
        return SplitFile(path, places, sources)


@contextmanager
def _reading(path: Path, remedy: str) -> Iterator[None]:
    """Name the file in what its reading raises, and what to give instead."""
    try:
        yield
    except OSError as fault:
        raise NotFound(f"the split file cannot be read ({fault.strerror})", file=path, remedy=remedy) from fault
    except (ValueError, RecursionError, csv.Error) as fault:
        raise WrongFormat(f"not a readable split file ({fault})", file=path, remedy=remedy) from fault


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(name for name, _ in pairs)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"'{repeated[0]}' is named twice")
    return dict(pairs)


def _from_lists(values: dict[str, Any]) -> dict[str, str]:
    """Places of the plain form: split -> list of track ids."""
    places: dict[str, str] = {}
    for split, tracks in values.items():
        if split not in SPLITS:
            raise ValueError(f"unknown split '{split}'{nearest(split, SPLITS)}")
        if not isinstance(tracks, list) or not all(isinstance(track, str) for track in tracks):
            raise ValueError(f"'{split}' is not a list of track names")
        for track in tracks:
            if track in places:
                raise ValueError(f"'{track}' is named twice")
            places[track] = split
    return places


def _from_action(track: str, about: Any) -> str:
    """Place of one track in the form of the dataset's utilities, which tells how to alter Slakh2100-orig."""
    if not isinstance(about, dict) or "action" not in about:
        raise ValueError(f"'{track}' has no action")
    action, target = about["action"], about.get("destination_split")
    if action is None:
        return KEEP
    if action == "omit" or (action == "move" and target == "omitted"):
        return OMIT
    if action == "move" and target in SPLITS:
        return str(target)
    if action == "move":
        raise ValueError(f"'{track}' moves to {'no split' if target is None else repr(target)}")
    raise ValueError(f"'{track}' has the unknown action {action!r}")


def read_split_csv(path: str | Path, known: Collection[str]) -> SplitFile:
    """Read a CSV file with the columns name and split, one line a track; others are ignored.

    Raises:
        NotFound: it cannot be opened.
        WrongFormat: it has no such header, or a line (whose number is given) names an unknown track or split, or a
            track for the second time.
    """
    path = Path(path)
    places: dict[str, str] = {}
    with _reading(path, "give a CSV file with the columns name,split"):
        for number, row in read_rows(path, ("name", "split")):
            name, split = unicodedata.normalize("NFC", row.get("name", "")), row.get("split", "")
            if fault := _fault_of_line(name, split, known, places):
                raise ValueError(f"line {number}: {fault}")
            places[name] = split
    return SplitFile(path, places)


def _fault_of_line(name: str, split: str, known: Collection[str], places: dict[str, str]) -> str:
    if name not in known:
        close = nearest(name, known)
        return f"no track is called '{name}'{close if 'did you mean' in close else '; correct or remove it'}"
    if split not in SPLITS:
        return f"unknown split '{split}'{nearest(split, SPLITS)}"
    return f"'{name}' is named for the second time" if name in places else ""


def apply_split_file(tracks: Iterable[Track], file: SplitFile, numbered: bool = False) -> tuple[Track, ...]:
    """The tracks in the splits that the file says, wherever they lie; those it leaves out or does not name are omitted.

    Args:
        numbered: the tracks are Slakh2100's, whose number tells the original split. The dataset's utilities say how
            to alter that one, so `KEEP` means it and not the folder, which may follow another set. A file that takes
            a track from elsewhere is about other tracks; then, and without `numbered`, `KEEP` means the folder.

    Raises:
        Mismatch: the file names none of the tracks.
    """
    tracks = tuple(tracks)
    if not any(track.id in file.places for track in tracks):
        here = tracks[0].id if tracks else "none"
        raise Mismatch(
            f"it names no track of this dataset, which has {here}, ...",
            file=file.path,
            remedy="give the split file of this dataset",
        )
    numbered = numbered and all(original_split(track) == source for track, source in file.sources.items())
    return tuple(_placed(track, file, numbered) for track in tracks)


def _placed(track: Track, file: SplitFile, numbered: bool) -> Track:
    place = file.places.get(track.id)
    if place is None:
        return replace(track, split="", problem="", omitted=f"not named in {file.path.name}")
    if place == OMIT:
        return replace(track, split="", problem="", omitted=f"left out by {file.path.name}")
    if place != KEEP:
        return replace(track, split=place, omitted="")
    original = original_split(track.id) if numbered else ""
    return replace(track, split=original, omitted="") if original else track


def original_split(track: str) -> str:
    """The split of Slakh2100-orig that a track lies in by its number, or '' if the dataset has no such track."""
    number = re.fullmatch(r"Track(\d{5})", track, re.ASCII)
    if not number or not int(number[1]):
        return ""
    return next((split for split, last in LAST_ORIGINAL.items() if int(number[1]) <= last), "")


def assign_splits(tracks: Iterable[Track], salt: str = "") -> tuple[Track, ...]:
    """Give usable tracks a split by the hash of `salt` and their composition, so that equal music stays together.

    Of three compositions or more, validation and test get one at least; with fewer, all is for training. So are tracks
    with weak labels, which cannot be judged by.
    """
    tracks = tuple(tracks)
    identities = {_identity(track) for track in tracks if is_usable(track) and not track.labels}
    ordered = sorted(identities, key=lambda identity: hashlib.sha256((salt + identity).encode()).digest())
    split_of = dict.fromkeys(ordered, "train")
    first = 0
    for split, share in HELD_OUT_SHARES.items():
        count = max(1, round(share * len(ordered))) if len(ordered) > len(HELD_OUT_SHARES) else 0
        split_of.update(dict.fromkeys(ordered[first : first + count], split))
        first += count
    split_of.update(dict.fromkeys((_identity(track) for track in tracks if track.labels), "train"))
    return tuple(replace(track, split=split_of.get(_identity(track), "")) for track in tracks)


def is_usable(track: Track) -> bool:
    """Whether nothing known so far speaks against compiling the track."""
    return not track.problem and not track.omitted


def _identity(track: Track) -> str:
    return track.uuid or track.id


@dataclass(frozen=True)
class SplitLeakage:
    """One composition that lies in more than one split.

    Attributes:
        uuid: its identity.
        tracks: ids of the tracks that hold it.
        splits: the split of each.
    """

    uuid: str
    tracks: tuple[str, ...]
    splits: tuple[str, ...]


def find_split_leakage(tracks: Iterable[Track]) -> list[SplitLeakage]:
    """Compositions that lie in more than one split, among the usable tracks that have a `uuid`."""
    copies: dict[str, list[Track]] = {}
    for track in tracks:
        if is_usable(track) and track.uuid:
            copies.setdefault(track.uuid, []).append(track)
    return [
        SplitLeakage(uuid, tuple(track.id for track in group), tuple(track.split for track in group))
        for uuid, group in copies.items()
        if len({track.split for track in group}) > 1
    ]


def without_split_leakage(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The tracks, with those omitted whose music lies in a higher-priority split too.

    Test comes before validation, validation before train. Copies inside one split stay.
    """
    reasons: dict[str, str] = {}
    for leakage in find_split_leakage(tracks):
        kept = max(leakage.splits, key=SPLITS.index)
        first = leakage.tracks[leakage.splits.index(kept)]
        for track, split in zip(leakage.tracks, leakage.splits, strict=True):
            if split != kept:
                reasons[track] = f"same music (UUID {leakage.uuid}) as {first} in {kept}"
    return tuple(replace(track, omitted=reasons.get(track.id, track.omitted)) for track in tracks)


def deduplicated(corpus: Corpus) -> Corpus:
    """The corpus without split leakage, as the name of its split set then says."""
    return replace(corpus, tracks=without_split_leakage(corpus.tracks), split_set=f"{corpus.split_set}+dedupe")
