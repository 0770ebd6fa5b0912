"""The model that comes with scoresep, from nothing: `python pipelines/shipped/run.py --material DIR --soundfonts DIR`.

Renders whole bands and a folder of MIDI files by two SoundFonts, sampled instruments and recorded voices, prepares the
corpus and trains (`config.toml`); renders more by a third SoundFont, and goes on from there with clips mixed anew;
averages the weights before and after, writes them in eight bits (`small.pt`), and evaluates that on songs, instruments
and singers that it never heard, and on another SoundFont.
The SoundFonts are Debian's `fluid-soundfont-gm` and `musescore-general-soundfont-lossless`, both under the MIT licence,
and `csound-soundfont` (LGPL); the rest is named in the model's card. A stopped run goes on with the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from join import join
from steps import Step, run_steps, say

from scoresep.errors import ScoresepError
from scoresep.files import existing_file, existing_folder
from scoresep.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

HERE = Path(__file__).resolve().parent
INSTRUMENTS = "piano,guitar,bass,drums,vocals,other"
SOUNDFONTS = ("FluidR3_GM.sf2", "MuseScore_General_Full.sf2", "sf_GMbank.sf2")
MATERIAL = ("midi", "sounds", "impulses", "voices", "charts", "groove")
"""Folders of the material: songs, packs of sampled instruments, impulse responses, singers, chord charts, drummers."""
SOUNDS = "--seconds 20 --seed 13 --levels record --sounds {sounds} --impulses {impulses} --voices {voices}"
"""One seed holds back the same makers and people everywhere."""
TWO, ANOTHER = "--soundfont {FluidR3_GM.sf2} --soundfont {MuseScore_General_Full.sf2}", "--soundfont {sf_GMbank.sf2}"
BANDS, WRITTEN = "--bands --songs 800 --grooves {groove}", "--midi {midi}"
CORPORA = (
    Step("render bands", 45, f"render bands {BANDS} --charts {{charts}} {SOUNDS} {TWO}"),
    Step("render written songs", 25, f"render written {WRITTEN} {SOUNDS} {TWO}"),
    Step("render bands by another SoundFont", 45, f"render bands2 {BANDS} {SOUNDS} {ANOTHER}"),
    Step("render written songs by it", 25, f"render written2 {WRITTEN} {SOUNDS} {ANOTHER}"),
)
ALL_CORPORA = ("bands", "written", "bands2", "written2")
PREPARE, TRAIN = "prepare slakh {folder} --instruments {{instruments}} --out {folder}.h5", "train --config {config} "
ON = "--start ckpt.pt --cache corpus2.h5 --run run2 --out ckpt2.pt"
MODEL = (
    Step("prepare", 25, PREPARE.format(folder="corpus")),
    Step("train", 90, f"{TRAIN} --stage 3 --cache corpus.h5"),
    Step("prepare all", 40, PREPARE.format(folder="corpus2")),
    Step(
        "go on, with clips mixed anew",
        50,
        f"{TRAIN} --stage 3 --steps 1000,6000,60 --set data.remix=0.5 {ON}",
    ),
)
JUDGEMENT = (
    Step("evaluate: new songs, new sounds", 2, "evaluate small.pt --cache corpus2.h5 --out new.json"),
    Step(
        "render songs by another SoundFont",
        0.5,
        "render foreign --songs 30 --seconds 20 --seed 333 --groups piano,guitar,bass,drums",
    ),
    Step("prepare them", 0.2, "prepare slakh foreign --instruments {instruments} --teacher none --out foreign.h5"),
    Step("evaluate", 0.5, "evaluate small.pt --cache foreign.h5 --split train --out foreign.json"),
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
    for count, folder in ((2, "corpus"), (4, "corpus2")):
        say(f"{join([out / name for name in ALL_CORPORA[:count]], out / folder)} tracks in {folder}")
    if status := run_steps(MODEL, sys.executable, out, fill):
        return status
    save_checkpoint(out / "small.pt", averaged([out / "ckpt.pt", out / "ckpt2.pt"]), small=True)
    return run_steps(JUDGEMENT, sys.executable, out, fill)


def averaged(paths: Sequence[Path]) -> Checkpoint:
    """The last of some checkpoints of one origin, with the mean of their weights and without where it was made.

    The mean of a network and of the same, fine-tuned, is better on other data than either (Wortsman et al., "Robust
    fine-tuning of zero-shot models", CVPR 2022).
    """
    checkpoints = [load_checkpoint(path) for path in paths]
    for name, network in checkpoints[-1].model.networks.items():
        states = [checkpoint.model.networks[name].state_dict() for checkpoint in checkpoints]
        mean = {key: sum(state[key] for state in states) / len(states) for key in states[0]}
        network.load_state_dict({key: value.to(states[0][key].dtype) for key, value in mean.items()})
    return replace(checkpoints[-1], cache="", history=[], resume={})


if __name__ == "__main__":
    sys.exit(main())
