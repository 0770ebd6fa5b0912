"""The packs of a corpus: those of its folders of sounds that play what is written, and those kept for the test split.

Packs are held out by maker: recordings of one maker, of one name or one file, lie on one side of the test split.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np

from scoresep.errors import ScoresepError
from scoresep.files import write_json
from scoresep.instruments import INSTRUMENTS
from scoresep.rendering.parallel import Progress, in_parallel
from scoresep.rendering.patch import Patch
from scoresep.rendering.patches import HELD_OUT_SHARE
from scoresep.rendering.probing import group_of_patch, proved
from scoresep.rendering.sources.packs import read_collections

MOST_HELD_OUT = 0.5
"""A maker with a larger share of a group's packs is never held out: nothing would be left to learn from."""
PROBES_VERSION = 1
PROBES_FILE = "probes.json"


@dataclass(frozen=True)
class PackPool:
    """Packs by split.

    Attributes:
        training: packs of train and validation.
        test: packs of the test split, of other makers.
        left_out: label to the reason why a sound of the folders is not used.
    """

    training: tuple[Patch, ...] = ()
    test: tuple[Patch, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    def of(self, split: str) -> tuple[Patch, ...]:
        return self.test if split == "test" else self.training

    @property
    def all(self) -> tuple[Patch, ...]:
        return self.training + self.test

    @property
    def held_out(self) -> dict[str, tuple[str, ...]]:
        """Group to the labels that only test songs use."""
        held: dict[str, tuple[str, ...]] = {}
        for patch in self.test:
            group = group_of_patch(patch)
            held[group] = (*held.get(group, ()), patch.label)
        return held


def pack_pool(
    folders: Sequence[Path],
    weak: bool,
    seed: int,
    jobs: int,
    progress: Progress,
    known: dict[str, object],
    banks: Container[str] = (),
) -> tuple[PackPool, dict[str, object]]:
    """The packs below `folders` that play their notes, and what probing them found, for `known` of the next call.

    Args:
        weak: whether packs of weak provenance are used.
        known: config to what an earlier call found (`read_probes`).
        banks: md5 of the SoundFonts that play beside the packs: their presets are held out one by one.

    Raises:
        ScoresepError: a folder is missing or empty, or none of its sounds can be used.
    """
    if not folders:
        return PackPool(), {}
    collection = read_collections(folders, weak, banks)
    found = _probed(collection.patches, jobs, progress, known)
    usable, left_out = [], dict(collection.left_out)
    for patch in collection.patches:
        result = found[patch.config]
        if isinstance(result, dict):
            usable.append(replace(patch, keys=frozenset(result["keys"]), sustain=float(result["sustain"])))
        else:
            left_out[patch.label] = str(result)
    if not usable:
        label, reason = next(iter(left_out.items()))
        raise ScoresepError(
            f"no sound in {', '.join(map(str, folders))} can be used; the first, {label}: {reason}; "
            "see docs/how-to/render.md"
        )
    training, test = hold_out(usable, seed)
    return PackPool(training, test, tuple(sorted(left_out.items()))), found


def _probed(patches: Sequence[Patch], jobs: int, progress: Progress, known: dict[str, object]) -> dict[str, object]:
    """Config to keys and sustain as JSON values, or to the reason why a patch cannot be used."""
    found = {patch.config: known[patch.config] for patch in patches if patch.config in known}
    calls = [joblib.delayed(_probe)(patch) for patch in patches if patch.config not in found]
    for done, (config, result) in enumerate(in_parallel(calls, jobs), start=1):
        found[config] = result
        progress(done, len(calls), "probing sounds")
    return found


def _probe(patch: Patch) -> tuple[str, object]:
    result = proved(patch)
    if isinstance(result, str):
        return patch.config, result
    return patch.config, {"keys": sorted(result.keys), "sustain": min(result.sustain, 1e9)}


def read_probes(out: Path) -> dict[str, object]:
    """What the corpus's first run found by probing; nothing where it is missing or damaged: it can be found anew."""
    try:
        kept = json.loads((out / PROBES_FILE).read_text(encoding="utf-8"))
        if kept["version"] != PROBES_VERSION:
            return {}
        return {config: result for config, result in kept["sounds"].items() if _is_result(result)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_result(result: object) -> bool:
    if isinstance(result, str):
        return True
    return (
        isinstance(result, dict)
        and isinstance(result.get("sustain"), int | float)
        and isinstance(result.get("keys"), list)
        and all(type(key) is int and 0 <= key < 128 for key in result["keys"])
    )


def write_probes(out: Path, found: dict[str, object]) -> None:
    write_json(out / PROBES_FILE, {"version": PROBES_VERSION, "sounds": dict(sorted(found.items()))})


# Holding out


def hold_out(packs: Sequence[Patch], seed: int) -> tuple[tuple[Patch, ...], tuple[Patch, ...]]:
    """Training's packs and the test split's: by maker, seeded, at least an eighth (and one) of each group if possible.

    A group whose packs are all by one maker has none in the test split, whose songs use SoundFonts there.
    """
    makers = _by_maker(packs)
    groups = Counter(group_of_patch(pack) for pack in packs)
    shares = [Counter(group_of_patch(packs[n]) for n in maker) for maker in makers]
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
    light = [replace(pack, material=frozenset()) for pack in packs]  # every task takes them to its process
    kept = tuple(pack for n, pack in enumerate(light) if n not in test)
    return kept, tuple(pack for n, pack in enumerate(light) if n in test)


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
