"""Several corpora in Slakh's layout as one: a folder of links with tracks numbered anew. Called by `run`, or alone:

python pipelines/shipped/join.py composed written --out corpus
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from scoresep.datasets.splits import SPLITS


def join(corpora: Sequence[Path], out: Path) -> int:
    """Link all tracks of `corpora` in `out`, each in its split; returns their number. What is there is left alone."""
    count = 0
    for corpus in corpora:
        for split in SPLITS:
            (out / split).mkdir(parents=True, exist_ok=True)
            for track in sorted((corpus / split).glob("Track*")):
                count += 1
                link = out / split / f"Track{count:05d}"
                if not link.is_symlink():
                    link.symlink_to(track.resolve(), target_is_directory=True)
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path, help="made by `scoresep render`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the corpus to make")
    options = parser.parse_args()
    print(f"{join(options.corpora, options.out)} tracks in {options.out}")
