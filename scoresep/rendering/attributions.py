"""What went into a corpus, and whose it is: `attributions.txt` beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from scoresep.files import write_text
from scoresep.rendering.impulses import Impulse
from scoresep.rendering.patch import Credit, Patch
from scoresep.rendering.synth import soundfont_credit

ATTRIBUTIONS_FILE = "attributions.txt"
_PRESET = re.compile(r":(drums:)?\d{3}$")
_UNSAID = "not stated"


def write_attributions(
    out: Path, soundfonts: Sequence[Path], packs: Sequence[Patch], impulses: Iterable[Impulse]
) -> None:
    """List what the tracks of the corpus `out` name, with licence and attribution, one paragraph each."""
    stems = [stem for path in sorted(out.glob("*/Track*/metadata.yaml")) for stem in _stems(path)]
    labels = {str(stem.get("plugin_name")) for stem in stems}
    chains = "\n".join(str(stem.get("chain", "")) for stem in stems)
    banks = {_PRESET.sub("", label) for label in labels}
    used = [(path.name, soundfont_credit(path), "SoundFont") for path in soundfonts if path.name in banks]
    used += [(pack.label, pack.credit, pack.name) for pack in packs if pack.label in labels]
    used += [(i.label, i.credit, i.kind) for i in impulses if i.path and f"[{i.label}]" in chains]
    head = "Sounds and impulse responses that this corpus was rendered with. What is trained from it owes these names."
    write_text(out / ATTRIBUTIONS_FILE, "\n\n".join([head, *(_paragraph(*entry) for entry in used)]) + "\n")


def _stems(path: Path) -> list[dict[str, object]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time
    return list(yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["stems"].values())


def _paragraph(label: str, credit: Credit, what: str) -> str:
    lines = [label if what == label else f"{label}: {what}", f"    licence: {credit.licence or _UNSAID}"]
    lines.append(f"    attribution: {credit.attribution or _UNSAID}")
    if credit.maker and credit.maker != credit.attribution:
        lines.append(f"    maker: {credit.maker}")
    if credit.weak:
        lines.append("    provenance: weak (the licence is stated by a collector only, or has conditions)")
    return "\n".join(lines)
