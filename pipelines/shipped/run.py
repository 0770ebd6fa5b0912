"""The model that comes with scoresep, from nothing: `python pipelines/shipped/run.py --material DIR --soundfonts DIR`.

Renders whole bands and a folder of MIDI files by two SoundFonts, sampled instruments and recorded voices, prepares the
corpus, trains (`config.toml`), writes `small.pt` with weights of eight bits, and evaluates that on songs, instruments
and singers that it never heard, and on another SoundFont.
The SoundFonts are Debian's `fluid-soundfont-gm` and `musescore-general-soundfont-lossless`, both under the MIT licence;
the rest is named in the model's card. A stopped run goes on with the same command.
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
from scoresep.files import existing_file, existing_folder
from scoresep.models.checkpoint import load_checkpoint, save_checkpoint

HERE = Path(__file__).resolve().parent
INSTRUMENTS = "piano,guitar,bass,drums,vocals,other"
SOUNDFONTS = ("FluidR3_GM.sf2", "MuseScore_General_Full.sf2")
MATERIAL = ("midi", "sounds", "impulses", "voices", "charts", "groove")
"""Folders of the material: songs, packs of sampled instruments, impulse responses, singers, chord charts, drummers."""
SOUNDS = (
    "--seconds 20 --seed 13 --levels record --soundfont {FluidR3_GM.sf2} --soundfont {MuseScore_General_Full.sf2} "
    "--sounds {sounds} --impulses {impulses} --voices {voices}"
)
CORPORA = (
    Step("render bands", 45, f"render bands --bands --songs 800 --charts {{charts}} --grooves {{groove}} {SOUNDS}"),
    Step("render written songs", 25, f"render written --midi {{midi}} {SOUNDS}"),
)
MODEL = (
    Step("prepare", 25, "prepare slakh corpus --instruments {instruments} --out cache.h5"),
    Step("train", 90, "train --stage 3 --config {config}"),
)
JUDGEMENT = (
    Step("evaluate: new songs, new sounds", 2, "evaluate small.pt --cache cache.h5 --refine --out new.json"),
    Step(
        "render songs by another SoundFont",
        0.5,
        "render foreign --songs 30 --seconds 20 --seed 333 --groups piano,guitar,bass,drums",
    ),
    Step("prepare them", 0.2, "prepare slakh foreign --instruments {instruments} --teacher none --out foreign.h5"),
    Step("evaluate", 0.5, "evaluate small.pt --cache foreign.h5 --split train --refine --out foreign.json"),
)


def main() -> int:
    """Run all steps; exit status of the first that fails, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--material", type=Path, required=True, help=f"folder with {', '.join(MATERIAL)}")
    parser.add_argument("--soundfonts", type=Path, required=True, help=f"folder with {' and '.join(SOUNDFONTS)}")
    parser.add_argument("--out", type=Path, default=Path("shipped"), help="folder for everything it makes")
    options = parser.parse_args()
    try:
        return run(options.material.resolve(), options.soundfonts.resolve(), options.out.resolve())
    except ScoresepError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2


def run(material: Path, soundfonts: Path, out: Path) -> int:
    """All steps, in `out`; exit status of the first that fails, else 0.

    Raises:
        ScoresepError: a SoundFont or a folder of the material is missing.
    """
    meanings = {
        f"{{{name}}}": existing_file(soundfonts / name, "SoundFont", "install its package") for name in SOUNDFONTS
    }
    remedy = f"--material wants {', '.join(MATERIAL)} in it"
    meanings |= {f"{{{name}}}": existing_folder(material / name, "folder of material", remedy) for name in MATERIAL}
    meanings |= {"{config}": HERE / "config.toml", "{instruments}": HERE / "instruments.toml"}
    fill = lambda word: str(meanings.get(word, word))  # noqa: E731
    out.mkdir(parents=True, exist_ok=True)
    if status := run_steps(CORPORA, sys.executable, out, fill):
        return status
    say(f"{join([out / 'bands', out / 'written'], out / 'corpus')} tracks in all")
    if status := run_steps(MODEL, sys.executable, out, fill):
        return status
    shrink(out / "ckpt.pt", out / "small.pt")
    return run_steps(JUDGEMENT, sys.executable, out, fill)


def shrink(source: Path, target: Path) -> None:
    """The checkpoint in eight bits, without where it was made."""
    save_checkpoint(target, replace(load_checkpoint(source), cache="", history=[], resume={}), small=True)


if __name__ == "__main__":
    sys.exit(main())
