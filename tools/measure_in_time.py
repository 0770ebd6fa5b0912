"""Count which scores the studio takes as they are written: those that are in time should be, others should be aligned.

    scoresep render songs --songs 24 --seed 4242 --soundfont TimGM6mb.sf2
    python tools/measure_in_time.py songs [--songs 24]

Every song is aligned with its own notes as they are played, with each pitched part of them alone, 40 ms late, and
without the two seconds at some share of it.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from scoresep.alignment.align import align, in_time
from scoresep.alignment.features import RATE
from scoresep.audio.loading import read_audio
from scoresep.datasets.base import Track
from scoresep.datasets.slakh import open_slakh
from scoresep.errors import ScoresepError
from scoresep.score.parts import Part
from scoresep.score.reading import Score

LATE, CUT = 0.04, 2.0
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9)


def main() -> None:
    """Print a table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("songs", type=Path, help="corpus in Slakh's layout")
    options.add_argument("--songs", dest="count", type=int, default=24)
    given = options.parse_args()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for track in open_slakh(given.songs).tracks[: given.count]:
        sound = np.sum([read_audio(stem.audio, RATE)[0] for stem in track.stems], axis=0, dtype=np.float32)
        for case, parts in cases(track):
            counts[case][outcome(sound, parts)] += 1
    columns = ("taken as written", "aligned", "refused")
    print(f"| score | {' | '.join(columns)} |\n|---|---|---|---|")
    for case, found in counts.items():
        print(f"| {case} | {' | '.join(str(found[column]) for column in columns)} |")


def cases(track: Track) -> Iterator[tuple[str, list[Part]]]:
    """What is done to a score, and its parts then."""
    parts = [part for stem in track.stems for part in stem.load_parts()]
    yield "as played", parts
    yield from (("one part alone", [part]) for part in parts if not part.is_drum)
    yield "40 ms late", [part.shifted(LATE) for part in parts]
    last = max(part.onset.max() for part in parts)
    for share in SHARES:
        yield f"without two seconds at {share:.0%}", [without(part, share * last) for part in parts]


def without(part: Part, begin: float) -> Part:
    """A part without the notes that begin in some seconds, the later ones earlier by that much."""
    kept = part.chosen((part.onset < begin) | (part.onset >= begin + CUT))
    earlier = np.where(kept.onset >= begin, CUT, 0.0)
    return replace(kept, onset=kept.onset - earlier, offset=kept.offset - earlier)


def outcome(sound: np.ndarray, parts: list[Part]) -> str:
    try:
        return "taken as written" if in_time(align(sound, RATE, [Score(parts, np.zeros(0))])) else "aligned"
    except ScoresepError:
        return "refused"


if __name__ == "__main__":
    main()
