"""The phases of `gpu.py run`, each a process of its own, which gets the name of its phase and the options of `main`.

Every figure is measured for itself: a fault becomes its traceback in the phase's JSON, and the next figure goes on.
Everything in small (`SMALL`) on a CPU, where the commands and not the figures are tried.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shlex import quote

from gpu_figures import compiled, device, steps, stream, teacher, use
from gpu_work import CACHE, CONFIG, FULL, GROUPS, MOST_BYTES, SMALL, SMALL_CACHE, Figure, Findings, cores, scoresep

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Exit status: 0 if every figure was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phase", choices=PHASES)
    parser.add_argument("--device", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    for folder in ("pack", "out", "work"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: None)  # its children are asked to stop, too: what they leave is noted
    given.size = FULL if given.device.startswith("cuda") else SMALL
    findings = Findings(given.out / f"{given.phase}.json", given.seconds)
    PHASES[given.phase](findings, given)
    return int(findings.faults > 0)


def corpus(findings: Findings, given: argparse.Namespace) -> None:
    """A small cache to measure on, then the one to train on; cores are left for the phases beside."""
    size, jobs = given.size, max(1, cores() - 4)

    def small() -> Figure:
        scoresep(given, f"render songs --songs {size.songs} --seconds {size.seconds} --groups {GROUPS} --jobs {jobs}")
        return {**prepare("songs", "small"), "cores": jobs}

    def prepare(corpus: str, name: str) -> Figure:
        """Make NAME/cache.h5; the folder has its name when the cache is whole."""
        found = scoresep(given, f"prepare slakh {corpus} --out making/cache.h5 --jobs {jobs}", findings.left)
        (given.work / "making").rename(given.work / name)
        return found

    def rendered() -> Figure:
        banks = "".join(f" --soundfont {quote(str(path))}" for path in soundfonts(given.pack))
        line = f"render corpus --midi {quote(str(given.pack / 'midi'))} --groups {GROUPS} {size.corpus}{banks}"
        found = scoresep(given, f"{line} --jobs {jobs}", findings.left * 0.7, may_stop=True)
        return {**found, "tracks": len(list((given.work / "corpus").glob("*/Track*")))}

    findings.add("small corpus", small)
    findings.add("render", rendered)
    findings.add("prepare", lambda: prepare("corpus", "whole"))


def soundfonts(pack: Path) -> list[Path]:
    """Those that travelled, with the one of pretty_midi, if any travelled."""
    from scoresep.rendering.sources.soundfont import default_soundfont

    found = sorted((pack / "soundfonts").glob("*.sf*"))
    return [default_soundfont(), *found] if found else []


def checks(findings: Findings, given: argparse.Namespace) -> None:
    """The tests marked `gpu`, a process a file at the same time: what breaks the device in one spares the others.

    Their output goes to files of their own, test by test, so that one that hangs is known.
    """
    options = f"-m gpu --device {given.device} --every {given.size.every} -vv -rs -p no:cacheprovider"
    options += f" -o faulthandler_timeout={max(5.0, findings.left / 2):.0f}"
    children = {}
    for file in sorted((ROOT / "tests" / "gpu").glob("test_*.py")):
        report = given.work / f"{file.stem}.xml"
        line = [sys.executable, "-m", "pytest", str(file), *options.split(), f"--junitxml={report}"]
        with open(given.out / f"checks-{file.stem}.txt", "wb") as said:
            child = subprocess.Popen(line, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        children[file.stem] = report, child
    for name, (report, child) in children.items():

        def judged(report: Path = report, child: subprocess.Popen[bytes] = child) -> Figure:
            try:
                child.wait(max(1.0, findings.left - 2))
            finally:
                child.kill()
            return verdicts(report)

        findings.add(name, judged)


def verdicts(report: Path) -> Figure:
    """How many tests of a report passed and were skipped, why, and what failed how."""
    found: Figure = {"passed": 0, "skipped": 0}
    for case in ElementTree.parse(report).iter("testcase"):
        bad = [part for part in case if part.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            found["error"] = f"{found.get('error', '')}{case.get('name')}: {bad[0].text}\n"
        elif skipped is not None:
            found["skipped"] += 1
            found[case.get("name")] = skipped.get("message")
        else:
            found["passed"] += 1
    if not found["passed"] and "error" not in found:
        found["error"] = "no test ran"
    return found


def training(findings: Findings, given: argparse.Namespace) -> None:
    """The three stages in what time is left; asked to stop, the newest checkpoint serves."""
    cache = next((name for name in (CACHE, SMALL_CACHE) if (given.work / name).exists()), None)
    if cache is None:
        findings.add("train", lambda: {"error": "there is no cache; see corpus.txt"})
        return
    sets = " ".join(f"--set {setting}" for setting in (*given.size.settings, f"precision={quicker(given)}"))
    spare = 12.0  # seconds for imports and the model's export; the rest is what a forecast may be wrong by
    minutes = min(0.92 * (findings.left - spare), max(21.0, given.size.training * findings.left)) / 60
    line = f"train --stage 3 --cache {cache} --config {CONFIG} {sets} --device {given.device}"

    def trained() -> Figure:
        shutil.rmtree(given.work / "run", ignore_errors=True)  # of an earlier go
        for name in ("ckpt.pt", "model.pt"):
            (given.work / name).unlink(missing_ok=True)
        try:
            found = scoresep(given, f"{line} --minutes {minutes:.3f}", findings.left - 8, may_stop=True)
        finally:
            for name in ("pace.json", "log.jsonl", "timing.jsonl"):
                if (given.work / "run" / name).exists():
                    shutil.copyfile(given.work / "run" / name, given.out / f"training-{name}")
        return {"minutes asked for": minutes, **found, "cache": cache}

    findings.add("train", trained)
    findings.add("steps", lambda: taken(given.work / "run"))
    findings.add("model", lambda: exported(given))


def quicker(given: argparse.Namespace) -> str:
    """The precision in which a step of stage 1 was quickest; the first of them where nothing is known."""
    try:
        found = json.loads((given.out / "steps.json").read_text("utf-8"))
    except (OSError, ValueError):
        found = {}
    times = {p: found.get(f"stage 1, {p}", {}).get("step", float("inf")) for p in given.size.precisions}
    return min(times, key=lambda precision: times[precision])


def taken(run: Path) -> Figure:
    """Steps and milliseconds a step of each stage, and the share of waiting."""
    import statistics

    entries = [json.loads(line) for line in (run / "timing.jsonl").read_text("utf-8").splitlines()]
    found: Figure = {}
    for stage in sorted({entry["stage"] for entry in entries}):
        own = [entry for entry in entries if entry["stage"] == stage]
        found[f"stage {stage}"] = max(entry["step"] for entry in own)
        found[f"ms/step {stage}"] = statistics.median(entry["ms/step"] for entry in own)
        found[f"waiting {stage}"] = statistics.median(entry["waiting"] for entry in own)
    return found


def newest(work: Path) -> Path:
    """The finished checkpoint, else that of the last stage that has one.

    Raises:
        RuntimeError: there is none.
    """
    candidates = [work / "ckpt.pt", *(work / "run" / f"stage{number}.pt" for number in (3, 2, 1))]
    for path in candidates:
        if path.exists():
            return path
    raise RuntimeError("training left no checkpoint; see training.txt")


def exported(given: argparse.Namespace) -> Figure:
    """The model in a compact form: weights of so few bits, in bytes that a compressor packs into as many, that it can
    be sent."""
    from scoresep.models.checkpoint import load_checkpoint, save_checkpoint
    from scoresep.models.compact import compact, expand

    checkpoint = replace(load_checkpoint(newest(given.work)), resume={})
    for bits in (8, 7, 6, 5):
        for network in checkpoint.model.networks.values():
            network.load_state_dict(expand(compact(network.state_dict(), bits)))
        save_checkpoint(given.work / "model.pt", checkpoint, small=True)
        packer = zlib.compressobj(9, zlib.DEFLATED, 31, 9, zlib.Z_HUFFMAN_ONLY)
        packed = packer.compress((given.work / "model.pt").read_bytes()) + packer.flush()
        if len(packed) < MOST_BYTES:
            break
    (given.out / "model.pt.gz").write_bytes(packed)
    found = {"MB": len(packed) / 1e6, "bits": bits}
    return {**found, "stage": checkpoint.stage, "steps": checkpoint.steps, "complete": checkpoint.complete}


def evaluation(findings: Findings, given: argparse.Namespace) -> None:
    """The compact model on songs that training never saw, beside the mixture."""
    jobs = min(8, cores())
    line = f"evaluate model.pt --references mixture --out {quote(str(given.out / 'metrics.json'))} --jobs {jobs}"

    def evaluated() -> Figure:
        if not (given.work / "model.pt").exists():
            shutil.copyfile(newest(given.work), given.work / "model.pt")
        found = scoresep(given, f"{line} --device {given.device}", findings.left)
        means = json.loads((given.out / "metrics.json").read_text("utf-8"))["summary"]["mean"]
        wanted = {"separation": ("si_sdr", "si_sdr_improvement"), "transcription": ("frame_f1", "note_f1")}
        return {**found, **{name: means[kind].get(name) for kind, names in wanted.items() for name in names}}

    findings.add("evaluate", evaluated)


PHASES: dict[str, Callable[[Findings, argparse.Namespace], None]] = {
    work.__name__: work
    for work in (corpus, device, checks, steps, stream, teacher, use, compiled, training, evaluation)
}

if __name__ == "__main__":
    sys.exit(main())
