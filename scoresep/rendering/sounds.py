"""All that the songs of a corpus can be played with, and whose it is: presets, packs and impulse responses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scoresep.datasets.slakh import read_metadata
from scoresep.files import write_text
from scoresep.rendering.impulses import Impulse, ImpulseSet, read_impulses
from scoresep.rendering.pools import PackPool, PresetPool, pack_pool, preset_pool, read_probes, voice_pool
from scoresep.rendering.settings import Progress, RenderSettings
from scoresep.rendering.song import digest
from scoresep.rendering.sources.base import Credit
from scoresep.rendering.sources.soundfont import soundfont_credit, soundfont_digest

VOICES_FOLDER = ".voices"
"""Of a corpus: what was learnt of the voices that sing in it."""
ATTRIBUTIONS_FILE = "attributions.txt"
MATERIAL = {
    "charts": ("chord charts", Credit("CC0", "McGill Billboard annotations (Burgoyne, Wild and Fujinaga, ISMIR 2011)")),
    "grooves": ("drummers' takes", Credit("CC BY 4.0", "Groove MIDI Dataset (Gillick et al., ICML 2019)")),
}
"""Settings to what they name, and the data set in whose format it is."""
LONGEST_LICENCE = 300
"""Letters of a licence's file that are repeated."""
_PRESET = re.compile(r":(drums:)?\d{3}$")
_UNKNOWN = "not stated"


@dataclass(frozen=True)
class Sounds:
    """What songs are played with.

    Attributes:
        presets: patches of the SoundFonts.
        packs: sounds of the folders, if any.
        impulses: impulse responses; None: stems have no chain.
    """

    presets: PresetPool
    packs: PackPool
    impulses: ImpulseSet | None

    @property
    def held_out(self) -> dict[str, tuple[str, ...]]:
        """Group to the labels that only test songs use."""
        presets, packs = self.presets.held_out, self.packs.held_out
        return {group: presets.get(group, ()) + packs.get(group, ()) for group in sorted({*presets, *packs})}

    @property
    def unused(self) -> tuple[tuple[str, str], ...]:
        """(label, reason) of sounds and impulse responses of the folders that are not used."""
        return self.packs.left_out + (self.impulses.left_out if self.impulses else ())

    def described(self) -> dict[str, str]:
        """What the corpus's settings remember of the folders: how many, and a digest."""
        sounds = {"packs": [p for p in self.packs.all if p.source != "voice"]}
        sounds["voices"] = [p for p in self.packs.all if p.source == "voice"]
        lines = {name: sorted(f"{patch.label} {patch.config}" for patch in patches) for name, patches in sounds.items()}
        lines["impulses"] = sorted(f"{i.label} {_content(i)}" for i in self.impulses.all) if self.impulses else []
        return {name: f"{len(rows)}, md5 {digest(chr(10).join(rows).encode())}" for name, rows in lines.items() if rows}


def gather_sounds(
    out: Path, settings: RenderSettings, groups: Iterable[str], jobs: int, progress: Progress
) -> tuple[Sounds, dict[str, Any]]:
    """The sounds that `settings` name, and the probes of the packs, to be kept beside the corpus `out`.

    Raises:
        ScoresepError: see `preset_pool`, `pack_pool`, `read_impulses`.
    """
    presets = preset_pool(settings.soundfonts, groups, settings.seed)
    known = read_probes(out) if settings.sounds or settings.voices else {}
    banks = {soundfont_digest(path) for path in settings.soundfonts}
    packs, probes = pack_pool(settings.sounds, settings.weak_packs, settings.seed, jobs, progress, known, banks)
    sung = settings.voices or (settings.bands and settings.wants("vocals"))
    voices = PackPool()
    if sung:
        voices, heard = voice_pool(
            settings.voices, settings.weak_packs, out / VOICES_FOLDER, settings.seed, jobs, progress, known
        )
        probes = probes | heard
    impulses = read_impulses(settings.impulses) if settings.with_chains else None
    return Sounds(presets, packs.joined(voices), impulses), probes


def write_attributions(out: Path, settings: RenderSettings, sounds: Sounds) -> None:
    """List what the tracks of the corpus `out` name, and what bands played from: licence and attribution of each.

    Nothing is written of a corpus that SoundFonts alone play.
    """
    used = _played_from(settings)
    if not sounds.packs.all and not sounds.impulses and not used:
        return
    files = sorted(out.glob("*/Track*/metadata.yaml"))
    stems = [stem for path in files for stem in read_metadata(path).stems.values()]
    labels = {str(stem.get("plugin_name")) for stem in stems}
    chains = "\n".join(str(stem.get("chain", "")) for stem in stems)
    banks = {_PRESET.sub("", label) for label in labels}
    impulses = sounds.impulses.all if sounds.impulses else ()
    used += [(path.name, soundfont_credit(path), "SoundFont") for path in settings.soundfonts if path.name in banks]
    used += [(pack.label, pack.credit, pack.name) for pack in sounds.packs.all if pack.label in labels]
    used += [(i.label, i.credit, i.kind) for i in impulses if i.path and f"[{i.label}]" in chains]
    head = "What this corpus was rendered with. What is trained from it owes these names."
    write_text(out / ATTRIBUTIONS_FILE, "\n\n".join([head, *(_paragraph(*entry) for entry in used)]) + "\n")


def _played_from(settings: RenderSettings) -> list[tuple[str, Credit, str]]:
    """The folders of charts and grooves, if any: whose the data set of that format is, and the licence beside it."""
    entries = []
    for name, (what, credit) in MATERIAL.items():
        if folder := getattr(settings, name):
            stated = next(iter(sorted(folder.glob("LICEN[CS]E*"))), None)
            licence = stated.read_text("utf-8", "replace").strip()[:LONGEST_LICENCE] if stated else credit.licence
            entries.append((folder.absolute().name, replace(credit, licence=licence), what))
    return entries


def _paragraph(label: str, credit: Credit, what: str) -> str:
    lines = [label if what == label else f"{label}: {what}", f"    licence: {_line(credit.licence) or _UNKNOWN}"]
    lines.append(f"    attribution: {_line(credit.attribution) or _UNKNOWN}")
    if credit.maker and credit.maker != credit.attribution:
        lines.append(f"    maker: {_line(credit.maker)}")
    if credit.weak:
        lines.append("    provenance: weak (the licence is stated by a collector only, or has conditions)")
    return "\n".join(lines)


def _line(text: str) -> str:
    """One line, so that no sound can add entries of its own."""
    return " ".join(text.split())


def _content(impulse: Impulse) -> str:
    return digest(impulse.path.read_bytes()) if impulse.path else str(impulse.number)
