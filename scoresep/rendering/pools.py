"""Which patches a corpus may use, and which of them only test songs do.

Presets of the SoundFonts are pooled by instrument group, patches of the folders of sounds ("packs") all together. A
patch is offered only if it plays its notes (`probing`): one that is missing, silent in its register or off its pitch
would make wrong labels. Presets are held out one by one; packs by maker, so that recordings of one maker, of one name
or one file, lie on one side of the test split.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from scoresep.errors import AlreadyExists, InvalidValue, NothingToDo
from scoresep.executor import Engine
from scoresep.files import write_json
from scoresep.instruments import DRUM_PROGRAM, INSTRUMENTS, Instrument
from scoresep.rendering.probing import preset_fault, probe_patch
from scoresep.rendering.settings import Progress
from scoresep.rendering.sources import SOURCES
from scoresep.rendering.sources.base import Patch
from scoresep.rendering.sources.folders import WEAK, read_collections
from scoresep.rendering.sources.singing import check_vocoder
from scoresep.rendering.sources.soundfont import presets
from scoresep.rendering.sources.voice import list_voices, synthetic_voices

HELD_OUT_SHARE = 0.125
FEWEST_TO_HOLD_OUT = 3
"""A group with fewer different presets shares them between the splits."""
MOST_HELD_OUT = 0.5
"""A maker with a larger share of a group's packs is never held out: nothing would be left to learn from."""
PROBES_VERSION = 1
PROBES_FILE = "probes.json"


# Presets of SoundFonts


@dataclass(frozen=True)
class PresetPool:
    """Presets by group.

    Attributes:
        training: group to the presets of train and validation.
        test: group to the presets of the test split; disjoint from `training` where the group has three or more.
        rejected: label to the reason why a preset of a group in use is not offered.
    """

    training: dict[str, tuple[Patch, ...]]
    test: dict[str, tuple[Patch, ...]]
    rejected: dict[str, str]

    def of(self, split: str) -> dict[str, tuple[Patch, ...]]:
        return self.test if split == "test" else self.training

    @property
    def held_out(self) -> dict[str, tuple[str, ...]]:
        """Group to the labels that only test songs use."""
        return {
            group: tuple(patch.label for patch in patches)
            for group, patches in self.test.items()
            if patches and patches != self.training[group]
        }


def check_soundfonts(soundfonts: Sequence[Path]) -> None:
    """See that all are banks and that their names tell them apart.

    Raises:
        InvalidValue: none is named.
        AlreadyExists: two have one file name.
        ScoresepError: one is missing or broken.
    """
    if not soundfonts:
        raise InvalidValue("no SoundFont is named", remedy="name at least one .sf2 file")
    names: dict[str, Path] = {}
    for path in soundfonts:
        presets(path)
        if path.name in names:
            problem = f"another SoundFont has this name, {names[path.name]}"
            raise AlreadyExists(problem, file=path, remedy="rename one: metadata name SoundFonts by it")
        names[path.name] = path


def preset_pool(soundfonts: Sequence[Path], groups: Iterable[str], seed: int) -> PresetPool:
    """The presets of every group in `groups`, with a seeded eighth (at least one) of each kept for the test split.

    Raises:
        NothingToDo: a group has no usable preset in any bank.
        ScoresepError: a SoundFont is missing or broken.
    """
    check_soundfonts(soundfonts)
    training, test, rejected = {}, {}, {}
    for group in sorted(set(groups)):
        usable, reasons = _usable(tuple(soundfonts), group)
        rejected.update(reasons)
        if not usable:
            banks = ", ".join(str(path) for path in soundfonts)
            raise NothingToDo(f"no usable {group} sound in {banks}", remedy="name a General MIDI SoundFont")
        training[group], test[group] = _hold_out_presets(usable, group, seed)
    return PresetPool(training, test, rejected)


def preset_of_program(soundfonts: Sequence[Path], program: int) -> Patch | None:
    """The melodic preset with this program in the first SoundFont that has it."""
    melodic = (patch for path in soundfonts for patch in presets(path) if not patch.is_drum)
    return next((patch for patch in melodic if patch.program == program), None)


def _hold_out_presets(usable: tuple[Patch, ...], group: str, seed: int) -> tuple[tuple[Patch, ...], tuple[Patch, ...]]:
    if len(usable) < FEWEST_TO_HOLD_OUT:
        return usable, usable
    order = np.random.default_rng([seed, *group.encode()]).permutation(len(usable))
    held = set(order[: max(1, round(HELD_OUT_SHARE * len(usable)))].tolist())
    kept = tuple(patch for n, patch in enumerate(usable) if n not in held)
    return kept, tuple(patch for n, patch in enumerate(usable) if n in held)


@lru_cache(maxsize=64)
def _usable(soundfonts: tuple[Path, ...], group: str) -> tuple[tuple[Patch, ...], dict[str, str]]:
    """Presets of a group that play their notes, and why others do not count; equal presets count once."""
    usable: list[Patch] = []
    reasons: dict[str, str] = {}
    labels: dict[str, str] = {}
    for patch in (patch for path in soundfonts for patch in presets(path) if _belongs(patch, INSTRUMENTS[group])):
        if patch.config in labels:
            reasons[patch.label] = f"the same sound as {labels[patch.config]}"
        elif reason := preset_fault(patch, group):
            reasons[patch.label] = reason
        else:
            labels[patch.config] = patch.label
            usable.append(patch)
    return tuple(usable), reasons


def _belongs(patch: Patch, instrument: Instrument) -> bool:
    return (DRUM_PROGRAM if patch.is_drum else patch.program) in instrument.programs


# Packs of folders


@dataclass(frozen=True)
class PackPool:
    """Packs by split.

    Attributes:
        training: packs of train and validation.
        test: packs of the test split, of other makers.
        left_out: (label, reason) of the sounds in the folders that are not used.
    """

    training: tuple[Patch, ...] = ()
    test: tuple[Patch, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    def of(self, split: str) -> tuple[Patch, ...]:
        return self.test if split == "test" else self.training

    def joined(self, other: PackPool) -> PackPool:
        return PackPool(self.training + other.training, self.test + other.test, self.left_out + other.left_out)

    @property
    def all(self) -> tuple[Patch, ...]:
        return self.training + self.test

    @property
    def held_out(self) -> dict[str, tuple[str, ...]]:
        """Group to the labels that only test songs use."""
        held: dict[str, tuple[str, ...]] = {}
        for patch in self.test:
            held[patch.group] = (*held.get(patch.group, ()), patch.label)
        return held


def pack_pool(
    folders: Sequence[Path],
    weak: bool,
    seed: int,
    jobs: int,
    progress: Progress,
    known: dict[str, Any],
    banks: Container[str] = (),
) -> tuple[PackPool, dict[str, Any]]:
    """The packs below `folders` that play their notes, and the probes: config to keys and sustain, or to a reason.

    Args:
        weak: whether packs of weak provenance are used.
        known: probes of an earlier call (`read_probes`).
        banks: md5 of the SoundFonts that play beside the packs: their presets are held out one by one.

    Raises:
        NothingToDo: none of the sounds can be used.
        ScoresepError: a folder is missing or empty.
    """
    if not folders:
        return PackPool(), {}
    collection = read_collections(folders, weak, banks)
    usable, faults, probes = _usable_packs(collection.patches, jobs, progress, known)
    left_out = dict(collection.left_out) | faults
    _check_any(usable, left_out, folders)
    training, test = (
        tuple(replace(pack, material=frozenset()) for pack in split)  # every task takes them to its process
        for split in hold_out_makers(usable, seed)
    )
    return PackPool(training, test, tuple(sorted(left_out.items()))), probes


def voice_pool(
    folders: Sequence[Path],
    weak: bool,
    store: Path,
    seed: int,
    jobs: int,
    progress: Progress,
    known: dict[str, Any],
) -> tuple[PackPool, dict[str, Any]]:
    """The voices of `folders`, of formants where none is named, and the probes; one of eight sings in tests alone.

    Raises:
        NotFound: a folder has no recording.
        NothingToDo: none of the voices can be used.
        Unavailable: pyworld is not installed.
    """
    check_vocoder()
    if not folders:
        return PackPool(*hold_out_makers(synthetic_voices(), seed)), {}
    voices: dict[str, Patch] = {}
    left_out: dict[str, str] = {}
    for folder in folders:
        listed, faults = list_voices(folder, store)
        left_out |= faults
        for voice in listed:
            if voice.label in voices:
                left_out[f"{voice.label} of {folder}"] = "another voice has this name; rename it"
            elif voice.credit.weak and not weak:
                left_out[voice.label] = WEAK
            else:
                voices[voice.label] = voice
    usable, faults, probes = _usable_packs([*voices.values()], jobs, progress, known)
    left_out |= faults
    _check_any(usable, left_out, folders)
    return PackPool(*hold_out_makers(usable, seed), tuple(sorted(left_out.items()))), probes


def _usable_packs(
    patches: Sequence[Patch], jobs: int, progress: Progress, known: dict[str, Any]
) -> tuple[list[Patch], dict[str, str], dict[str, Any]]:
    """Patches with what their probes found, label to the reason of those that cannot be used, and the probes."""
    probes = _probed(patches, jobs, progress, known)
    usable, left_out = [], {}
    for patch in patches:
        probe = probes[patch.config]
        if isinstance(probe, dict):
            usable.append(replace(patch, keys=frozenset(probe["keys"]), sustain=float(probe["sustain"])))
        else:
            left_out[patch.label] = str(probe)
    return usable, left_out, probes


def _check_any(usable: Sequence[Patch], left_out: dict[str, str], folders: Sequence[Path]) -> None:
    if not usable:
        label, reason = next(iter(left_out.items()))
        problem = f"no sound in {', '.join(map(str, folders))} can be used; the first, {label}: {reason}"
        raise NothingToDo(problem, remedy="see docs/how-to/render.md")


def _probed(patches: Sequence[Patch], jobs: int, progress: Progress, known: dict[str, Any]) -> dict[str, Any]:
    probes = {patch.config: known[patch.config] for patch in patches if patch.config in known}
    missing = [patch for patch in patches if patch.config not in probes]
    for done, (config, probe) in enumerate(Engine(jobs).map(_probe, missing), start=1):
        probes[config] = probe
        progress(done, len(missing), "probing sounds")
    return probes


def _probe(patch: Patch) -> tuple[str, dict[str, Any] | str]:
    result = (SOURCES[patch.source].probe or probe_patch)(patch)
    if isinstance(result, str):
        return patch.config, result
    return patch.config, {"keys": sorted(result.keys), "sustain": min(result.sustain, 1e9)}


def read_probes(out: Path) -> dict[str, Any]:
    """The probes that an earlier run kept beside the corpus; none where the file is missing or damaged."""
    try:
        kept = json.loads((out / PROBES_FILE).read_text(encoding="utf-8"))
        if kept["version"] != PROBES_VERSION:
            return {}
        return {config: probe for config, probe in kept["sounds"].items() if _is_probe(probe)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_probe(probe: object) -> bool:
    if isinstance(probe, str):
        return True
    return (
        isinstance(probe, dict)
        and isinstance(probe.get("sustain"), int | float)
        and isinstance(probe.get("keys"), list)
        and all(type(key) is int and 0 <= key < 128 for key in probe["keys"])
    )


def write_probes(out: Path, probes: dict[str, Any]) -> None:
    write_json(out / PROBES_FILE, {"version": PROBES_VERSION, "sounds": dict(sorted(probes.items()))})


def hold_out_makers(packs: Sequence[Patch], seed: int) -> tuple[tuple[Patch, ...], tuple[Patch, ...]]:
    """Training's packs and the test split's: by maker, seeded, at least an eighth (and one) of each group if possible.

    A group whose packs are all by one maker has none in the test split, whose songs use SoundFonts there.
    """
    makers = _by_maker(packs)
    groups = Counter(pack.group for pack in packs)
    shares = [Counter(packs[n].group for n in maker) for maker in makers]
    held: Counter[str] = Counter()
    chosen: set[int] = set()
    order = np.random.default_rng([seed, *b"makers"]).permutation(len(makers)).tolist()
    for group in sorted(groups):
        for m in order:
            wanted = max(1, round(HELD_OUT_SHARE * groups[group]))
            learnt = [g for g in shares[m] if g in INSTRUMENTS]
            fits = all(held[g] + shares[m][g] <= MOST_HELD_OUT * groups[g] for g in learnt)
            if held[group] < wanted and group in shares[m] and m not in chosen and fits:
                chosen.add(m)
                held += shares[m]
    test = {n for m in chosen for n in makers[m]}
    kept = tuple(pack for n, pack in enumerate(packs) if n not in test)
    return kept, tuple(pack for n, pack in enumerate(packs) if n in test)


def _by_maker(packs: Sequence[Patch]) -> list[list[int]]:
    """Numbers of packs that belong together: those that share a maker's name or a recording, directly or by others."""
    marks = [pack.material | _names(pack.credit.maker) for pack in packs]
    makers: list[tuple[frozenset[str], list[int]]] = []
    for n, mark in enumerate(marks):
        joined = [maker for maker in makers if maker[0] & mark]
        makers = [maker for maker in makers if not maker[0] & mark]
        makers.append((mark.union(*(maker[0] for maker in joined)), sorted([n, *(k for m in joined for k in m[1])])))
    return sorted(numbers for _, numbers in makers)


def _names(maker: str) -> frozenset[str]:
    """The names in 'A / B (C)'; who ported an instrument, after a semicolon, did not record it."""
    names = (name.strip().casefold() for name in re.split(r"[/(),]| and | & ", maker.split(";")[0]))
    return frozenset(f"maker {name}" for name in names if name)
