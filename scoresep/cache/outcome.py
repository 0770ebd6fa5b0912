"""What a preparation made, left out and found odd: as lines for a terminal and as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scoresep.cache.schema import Excluded, StemFinding, Unused
from scoresep.datasets.splits import Leak
from scoresep.files import write_rows


@dataclass(frozen=True)
class Outcome:
    """What a preparation made.

    Attributes:
        path: the index; it exists unless only a part was made.
        tracks: usable tracks per split.
        excluded: the others.
        findings: oddities of usable tracks.
        leaks: compositions that lie in several splits.
        reused: shards that were there already.
        shards: shards in all, or in the part.
        unused: what of usable tracks is not in the cache.
    """

    path: Path
    tracks: dict[str, int]
    excluded: tuple[Excluded, ...]
    findings: tuple[StemFinding, ...]
    leaks: tuple[Leak, ...]
    reused: int
    shards: int
    unused: tuple[Unused, ...] = ()

    @property
    def table(self) -> Path:
        """Where `write_csv` puts the table."""
        return table_of(self.path)


def table_of(index: Path) -> Path:
    """The table that belongs to a cache, beside its index."""
    return index.with_name(f"{index.stem}.report.csv")


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        what: `left out` (something is wrong with the track), `omitted` (somebody wants it so), `flagged` (a stem
            contradicts its score, or the metadata is odd), `leak` (the same music in several splits) or `not used`
            (something of a track that is there).
        track, stem, split: what it is about; '' where it does not apply.
        kind: of a flag, such as `octave`.
        detail: in words.
    """

    what: str
    track: str
    stem: str
    split: str
    kind: str
    detail: str


def rows(outcome: Outcome) -> list[Row]:
    """All that is to be told, what is worst first."""
    bad = [item for item in outcome.excluded if not item.deliberate]
    wanted = [item for item in outcome.excluded if item.deliberate]
    return [
        *(Row("left out", item.track, "", item.split, "", item.reason) for item in bad),
        *(Row("flagged", item.track, item.stem, "", item.kind, item.detail) for item in outcome.findings),
        *(Row("leak", " ".join(leak.tracks), "", " ".join(leak.splits), "", leak.uuid) for leak in outcome.leaks),
        *(Row("omitted", item.track, "", item.split, "", item.reason) for item in wanted),
        *(Row("not used", item.track, item.stems, "", "", f"{item.count} {item.reason}") for item in outcome.unused),
    ]


def unused_lines(outcome: Outcome) -> list[str]:
    """What of usable tracks is not in the cache: a line a reason, the most first."""
    counts, tracks = Counter[str](), Counter[str]()
    for item in outcome.unused:
        counts[item.reason] += item.count
        tracks[item.reason] += 1
    order = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return [f"not used: {counts[reason]:,} {reason} (in {tracks[reason]:,} tracks)" for reason in order]


def lines(outcome: Outcome) -> list[str]:
    """What is wrong, odd or omitted as lines; leaks as one. The rest is in `unused_lines`."""
    found = []
    for row in rows(outcome):
        if row.what in ("left out", "omitted"):
            found.append(f"{row.what} {row.track}: {row.detail}")
        elif row.what == "flagged":
            found.append(f"flagged {' '.join(filter(None, (row.track, row.stem)))}: {row.detail}")
    if outcome.leaks:
        found.insert(0, f"{len(outcome.leaks)} compositions lie in several splits; --dedupe leaves copies out")
    return found


def write_csv(outcome: Outcome) -> None:
    """Write the table beside the index."""
    write_rows(outcome.table, Row._fields, rows(outcome))
