"""The model that comes with scoresep, from nothing: `python pipelines/shipped/run.py --midi MIDI --soundfonts DIR`.

Renders a corpus from the composer and from a folder of MIDI files through two SoundFonts, prepares it, trains
(`config.toml`), writes `small.pt` with weights of eight bits, and evaluates that on songs, presets and a SoundFont
that it never heard.
The SoundFonts are Debian's `fluid-soundfont-gm` and `musescore-general-soundfont-lossless`, both under the MIT licence;
the songs are public-domain tunes. A stopped run goes on with the same command.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from join import join
from steps import Step, run_steps, say

from scoresep.errors import ScoresepError
from scoresep.files import existing_file
from scoresep.models.checkpoint import load_checkpoint, save_checkpoint

HERE = Path(__file__).resolve().parent
GROUPS = "piano,guitar,bass,drums"
SOUNDFONTS = ("FluidR3_GM.sf2", "MuseScore_General_Full.sf2")
TRAINING = f"--seconds 20 --seed 13 --groups {GROUPS} --soundfont {{0}} --soundfont {{1}}"
CORPORA = (
    Step("render composed songs", 4, f"render composed --songs 320 {TRAINING}"),
    Step("render written songs", 6, f"render written --midi {{midi}} {TRAINING}"),
)
MODEL = (
    Step("prepare", 2, f"prepare slakh corpus --instruments {GROUPS} --out cache.h5"),
    Step("train", 50, "train --stage 3 --config {config}"),
)
JUDGEMENT = (
    Step("evaluate: new songs, new presets", 1, "evaluate small.pt --cache cache.h5 --refine --out presets.json"),
    Step(
        "render songs by another SoundFont", 0.5, f"render foreign --songs 30 --seconds 20 --seed 333 --groups {GROUPS}"
    ),
    Step("prepare them", 0.2, f"prepare slakh foreign --instruments {GROUPS} --teacher none --out foreign.h5"),
    Step("evaluate", 0.5, "evaluate small.pt --cache foreign.h5 --split train --refine --out foreign.json"),
)
"""Seed 13 holds back two presets of piano, guitar and bass each, none of them the plain ones."""


def main() -> int:
    """Run all steps; exit status of the first that fails, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--midi", type=Path, required=True, help="folder of MIDI files whose licences allow it")
    parser.add_argument("--soundfonts", type=Path, required=True, help=f"folder with {' and '.join(SOUNDFONTS)}")
    parser.add_argument("--out", type=Path, default=Path("shipped"), help="folder for everything it makes")
    options = parser.parse_args()
    try:
        return run(options.midi.resolve(), options.soundfonts.resolve(), options.out.resolve())
    except ScoresepError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2


def run(midi: Path, soundfonts: Path, out: Path) -> int:
    """All steps, in `out`; exit status of the first that fails, else 0.

    Raises:
        ScoresepError: a SoundFont is missing.
    """
    banks = [existing_file(soundfonts / name, "SoundFont", "install its package") for name in SOUNDFONTS]
    meanings = {"{0}": banks[0], "{1}": banks[1], "{midi}": midi, "{config}": HERE / "config.toml"}
    fill = lambda word: str(meanings.get(word, word))  # noqa: E731
    out.mkdir(parents=True, exist_ok=True)
    if status := run_steps(CORPORA, sys.executable, out, fill):
        return status
    say(f"{join([out / 'composed', out / 'written'], out / 'corpus')} tracks in all")
    if status := run_steps(MODEL, sys.executable, out, fill):
        return status
    shrink(out / "ckpt.pt", out / "small.pt")
    return run_steps(JUDGEMENT, sys.executable, out, fill)


def shrink(source: Path, target: Path) -> None:
    """The checkpoint in eight bits, without where it was made."""
    save_checkpoint(target, replace(load_checkpoint(source), cache="", history=[], resume={}), small=True)


if __name__ == "__main__":
    sys.exit(main())
