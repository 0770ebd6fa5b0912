"""What a preparation made, left out and found odd: as lines for a terminal and as a CSV table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scoresep.cache.schema import Excluded, StemFinding, Unused
from scoresep.datasets.splits import SplitLeakage
from scoresep.files import write_rows


@dataclass(frozen=True)
class Report:
    """What a preparation made.

    Attributes:
        path: the index; it exists unless only a part was made.
        tracks: usable tracks per split.
        excluded: the others.
        findings: oddities of usable tracks.
        split_leakage: compositions that lie in several splits.
        reused: shards that were there already.
        shards: shards in all, or in the part.
        unused: what of usable tracks is not in the cache.
    """

    path: Path
    tracks: dict[str, int]
    excluded: tuple[Excluded, ...]
    findings: tuple[StemFinding, ...]
    split_leakage: tuple[SplitLeakage, ...]
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


class ReportRow(NamedTuple):
    """One line of the table.

    Attributes:
        what: `left out` (something is wrong with the track), `omitted` (by choice), `flagged` (a stem contradicts its
            score, or the metadata is odd), `split leakage` (the same music in several splits) or `not used` (something
            of a track that is there).
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


def report_rows(report: Report) -> list[ReportRow]:
    """The table, the worst first."""
    bad = [item for item in report.excluded if not item.deliberate]
    wanted = [item for item in report.excluded if item.deliberate]
    return [
        *(ReportRow("left out", item.track, "", item.split, "", item.reason) for item in bad),
        *(ReportRow("flagged", item.track, item.stem, "", item.kind, item.detail) for item in report.findings),
        *(
            ReportRow("split leakage", " ".join(item.tracks), "", " ".join(item.splits), "", item.uuid)
            for item in report.split_leakage
        ),
        *(ReportRow("omitted", item.track, "", item.split, "", item.reason) for item in wanted),
        *(
            ReportRow("not used", item.track, item.stems, "", "", f"{item.count} {item.reason}")
            for item in report.unused
        ),
    ]


def unused_lines(report: Report) -> list[str]:
    """What of usable tracks is not in the cache: a line a reason, the most first."""
    counts, tracks = Counter[str](), Counter[str]()
    for item in report.unused:
        counts[item.reason] += item.count
        tracks[item.reason] += 1
    order = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return [f"not used: {counts[reason]:,} {reason} (in {tracks[reason]:,} tracks)" for reason in order]


def problem_lines(report: Report) -> list[str]:
    """What is wrong, odd or omitted as lines; split leakage as one. The rest is in `unused_lines`."""
    lines = []
    if report.split_leakage:
        lines.append(f"{len(report.split_leakage)} compositions lie in several splits; --dedupe leaves copies out")
    for row in report_rows(report):
        if row.what in ("left out", "omitted", "flagged"):
            lines.append(f"{row.what} {' '.join(filter(None, (row.track, row.stem)))}: {row.detail}")
    return lines


def write_csv(report: Report) -> None:
    """Write the table beside the index."""
    write_rows(report.table, ReportRow._fields, report_rows(report))
