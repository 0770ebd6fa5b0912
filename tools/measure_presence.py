"""Measure what it helps to say who plays (`separate --present`), on recordings whose parts are known.

    python tools/measure_presence.py ROOT [--ckpt ckpt.pt] [--without-other] [--absent piano]

ROOT holds SET/ITEM/INSTRUMENT.flac or .ogg, the parts of a mixture, which is their sum; `other` is what belongs to none
of the model's instruments. Items without their `--absent` instrument are separated twice, once told who plays; shown is
the SI-SDR gained over the mixture. An instrument whose mixture has more than 15 dB plays alone and is left out.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import torch

import scoresep
from scoresep.evaluation.metrics import si_sdr

SUFFIXES = (".flac", ".ogg")
OTHER = "other"
HEARD = 1e-4
"""Peak from which on a part plays."""
ALONE = 15.0
"""dB of a mixture's SI-SDR above which, and below minus which, an instrument is left out."""


def main() -> None:
    """Print every item, and the means."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("root", type=Path)
    options.add_argument("--ckpt")
    options.add_argument("--without-other", action="store_true", help="take what belongs to none out of the mixtures")
    options.add_argument("--absent", default="piano", help="measure the items in which this one does not play")
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    model = scoresep.load(given.ckpt)
    gains: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for item in sorted({path.parent for path in given.root.glob("*/*/*") if path.suffix in SUFFIXES}):
        files = {path.stem: path for path in item.iterdir() if path.suffix in SUFFIXES}
        parts = {name: soundfile.read(path, dtype="float32", always_2d=True) for name, path in files.items()}
        rate = next(rate for _, rate in parts.values())
        truths = {name: audio for name, (audio, _) in parts.items() if np.abs(audio).max() > HEARD}
        if given.without_other:
            truths.pop(OTHER, None)
        present = [name for name in model.instruments if name in truths]
        if "mixture" in files or given.absent in present or len(present) < 2:
            continue
        mixture = sum(truths.values())
        plain, told = model.separate(mixture, rate), model.separate(mixture, rate, present=present)
        for name in present:
            estimates = (mixture, plain[name], told[name])
            before, *after = (si_sdr(truths[name].ravel(), each.ravel()) for each in estimates)
            if abs(before) <= ALONE:
                gains[name].append((after[0] - before, after[1] - before))
                figures = "{:+.2f}, told {:+.2f}".format(*gains[name][-1])
                print(f"{item.parent.name} {item.name} {name}: {figures}", flush=True)
    print("\n| | items | gained, dB | told who plays | better in |\n|---|---|---|---|---|")
    for name, pairs in gains.items():
        plain_gain, told_gain = np.mean(pairs, axis=0)
        better = sum(told > plain for plain, told in pairs)
        print(f"| {name} | {len(pairs)} | {plain_gain:+.2f} | {told_gain:+.2f} | {better} |")


if __name__ == "__main__":
    main()
