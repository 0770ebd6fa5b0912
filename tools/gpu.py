"""All that only a GPU can show, in one command and some minutes: checks, figures, a corpus, a training, an evaluation.

    python tools/gpu.py pack --midi SONGS            here, in the project's environment: fills the folder gpu-pack
    python3 tools/gpu.py run --minutes 8 --out DIR   there: Python 3.12, torch and a few more packages, no network
    python3 tools/gpu.py run --minutes 2 --device cpu --out DIR   the same in small, on a CPU

`run` needs the standard library alone; phases (`gpu_phases`) are processes of their own, so that what one breaks, time
or device, leaves the next as it was. Each has a share of the minutes and writes its results as they come to
DIR/PHASE.json, what it says to DIR/PHASE.txt; all of it stands in DIR/summary.json and DIR/table.md
(docs/how-to/gpu.md).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WHEELS_ARE_FOR = (3, 12)
GRACE = 8.0
"""Seconds that a phase has to save what it does when its time is over."""


@dataclass(frozen=True)
class Phase:
    """One part of the work.

    Attributes:
        name: a function of `gpu_phases`.
        share: of the minutes, at most; what a phase leaves over goes to those after it.
    """

    name: str
    share: float


BESIDE = Phase("corpus", 0.58)
"""Runs from the beginning on, on the CPU's cores, beside the phases that use the device."""
PHASES = (
    Phase("device", 0.06),
    Phase("checks", 0.20),
    Phase("steps", 0.14),
    Phase("stream", 0.05),
    Phase("teacher", 0.06),
    Phase("use", 0.07),
    Phase("compiled", 0.05),
    Phase("training", 0.23),
    Phase("evaluation", 0.14),
)


def main() -> int:
    """Exit status: 0 if every phase came to its end without a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("pack", help="gather what travels along")
    made.add_argument("--midi", type=Path, required=True, help="folder of songs")
    made.add_argument("--soundfont", type=Path, action="append", default=[], help="beside pretty_midi's; repeatable")
    made.add_argument("--songs", type=int, help="how many of them, spread evenly (default: all)")
    made.add_argument("--out", type=Path, default=ROOT / "gpu-pack", help="folder to fill anew (default: gpu-pack)")
    work = commands.add_parser("run", help="check, measure, train and evaluate")
    work.add_argument("--minutes", type=float, default=8.0, help="for everything (default: %(default)s)")
    work.add_argument("--device", default="cuda", help="cuda, or cpu for all of it in small (default: %(default)s)")
    work.add_argument("--pack", type=Path, default=ROOT / "gpu-pack", help="what `pack` made (default: gpu-pack)")
    work.add_argument(
        "--out", type=Path, default=Path(os.environ.get("OUT") or "gpu-results"), help="default: $OUT, or gpu-results"
    )
    work.add_argument("--work", type=Path, help="folder for what is not a result (default: a temporary one)")
    work.add_argument("--only", default="", help="phases by comma (default: all)")
    given = parser.parse_args()
    if given.command == "pack":
        return pack(given)
    if fault := refused(given):
        work.error(fault)
    given.out, given.pack = given.out.resolve(), given.pack.resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if given.work:
        return run(given, given.work.resolve())
    with tempfile.TemporaryDirectory(prefix="gpu-", ignore_cleanup_errors=True) as folder:
        return run(given, Path(folder))


def refused(given: argparse.Namespace) -> str:
    """What is wrong with the options of `run`, before a minute is spent; makes the folders."""
    names = [BESIDE.name, *(phase.name for phase in PHASES)]
    if unknown := [name for name in given.only.split(",") if given.only and name not in names]:
        return f"--only: no phase is called {', '.join(map(repr, unknown))}; they are {', '.join(names)}"
    if not 0 < given.minutes < 1e6:
        return f"--minutes {given.minutes:g} is no length of time; give a number above 0, such as 8"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", given.device):
        return f"--device '{given.device}' is none of cuda, cuda:1, ..., cpu"
    for option, folder in (("--out", given.out), ("--work", given.work)):
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            return f"{option} {folder}: {fault.strerror}; give another folder"
    return ""


def pack(given: argparse.Namespace) -> int:
    """Fill the folder; 1 if it is more than may travel."""
    import gpu_pack

    if absent := [str(path) for path in (given.midi, *given.soundfont) if not path.exists()]:
        print(f"error: {', '.join(absent)}: no such file or folder", file=sys.stderr)
        return 2
    try:
        sizes = gpu_pack.pack(given.out, given.midi, given.soundfont, given.songs)
    except gpu_pack.Unpackable as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    for name, size in sizes.items():
        print(f"{name:>12}: {size / 1e6:5.1f} MB")
    total, most = sum(sizes.values()), gpu_pack.MOST_BYTES
    print(f"{'all':>12}: {total / 1e6:5.1f} MB, {most / 1e6:.0f} at most")
    if total > most:
        print("error: too much to travel; give fewer --songs or a smaller --soundfont", file=sys.stderr)
    return int(total > most)


def run(given: argparse.Namespace, work: Path) -> int:
    """Work through the phases; what is known stands in the folder of results at any moment."""
    began = time.monotonic()
    seconds = 60 * given.minutes
    chosen = given.only.split(",") if given.only else [BESIDE.name, *(phase.name for phase in PHASES)]
    environment = surroundings(given, work)
    small = not given.device.startswith("cuda")
    summary: dict[str, Any] = {"device": given.device, "minutes": given.minutes, "phases": {}}
    children: dict[str, subprocess.Popen[bytes]] = {}

    def start(phase: Phase, until: float) -> None:
        line = [sys.executable, str(HERE / "gpu_phases.py"), phase.name, "--device", given.device]
        line += ["--seconds", f"{until - time.monotonic():.1f}", "--pack", str(given.pack)]
        line += ["--out", str(given.out), "--work", str(work)]
        (given.out / f"{phase.name}.json").unlink(missing_ok=True)
        with open(given.out / f"{phase.name}.txt", "wb") as said:
            children[phase.name] = subprocess.Popen(
                line, cwd=work, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )

    def finish(phase: Phase, until: float, started: float) -> None:
        status = ended(children.pop(phase.name), until)
        summary["phases"][phase.name] = outcome(given.out, phase.name, status, time.monotonic() - started)
        write(given.out, summary)
        print(f"{time.monotonic() - began:6.1f} s  {phase.name}: {summary['phases'][phase.name]['status']}", flush=True)

    def limit(share: float) -> float:
        """When a phase must end; on a CPU all may take what is left, since the figures do not matter."""
        return began + seconds * (1.0 if small else share)

    try:
        if BESIDE.name in chosen:
            start(BESIDE, limit(BESIDE.share))
        share = 0.0
        for phase in PHASES:
            share += phase.share
            if phase.name not in chosen:
                continue
            if phase.name == "training" and BESIDE.name in children:
                finish(BESIDE, limit(BESIDE.share), began)
            started = time.monotonic()
            start(phase, limit(share))
            finish(phase, limit(share), started)
        if BESIDE.name in children:
            finish(BESIDE, limit(BESIDE.share), began)
    except KeyboardInterrupt:
        summary["stopped"] = f"after {time.monotonic() - began:.0f} s"
    finally:
        for name, child in children.items():
            ended(child, time.monotonic())
            summary["phases"][name] = outcome(given.out, name, "stopped", time.monotonic() - began)
        summary["seconds"] = round(time.monotonic() - began, 1)
        write(given.out, summary)
    print((given.out / "table.md").read_text("utf-8"))
    return int("stopped" in summary or any(found["status"] != "done" for found in summary["phases"].values()))


def surroundings(given: argparse.Namespace, work: Path) -> dict[str, str]:
    """The environment of the phases: the project and the unpacked wheels on Python's path.

    A wheel is a ZIP archive of what belongs there: no pip is needed, nothing of the machine's own is changed.
    """
    site = work / "site"
    wheels = sorted((given.pack / "wheels").glob("*.whl"))
    if sys.version_info[:2] != WHEELS_ARE_FOR:
        print("this is another Python than the wheels are for: the packages that it has must do", flush=True)
        wheels = []
    elif not wheels:
        print(f"{given.pack / 'wheels'} holds no wheels: the packages that this Python has must do", flush=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    for inner in site.glob("*.data/*lib"):  # purelib, platlib: what a wheel keeps apart
        for path in inner.iterdir():
            path.rename(site / path.name)
    there = [str(ROOT), *([str(site)] if site.is_dir() else []), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, there)), "PYTHONUNBUFFERED": "1"}
    if not os.access(ROOT / "scoresep", os.W_OK):
        own["NUMBA_CACHE_DIR"] = str(work / "numba")
    if given.device == "cpu":  # threads that wait for one another are slow where other work runs
        own |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**os.environ, **own}


def ended(child: subprocess.Popen[bytes], until: float) -> str:
    """How a phase ended: `done`, `failed (status)` or `out of time`; none of its children is left."""
    try:
        status = child.wait(max(0.0, until - time.monotonic()))
        found = "done" if status == 0 else f"failed ({status})"
    except subprocess.TimeoutExpired:
        found = "out of time"
        signal_group(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
    signal_group(child, signal.SIGKILL)
    child.wait()
    return found


def signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def outcome(out: Path, name: str, status: str, seconds: float) -> dict[str, Any]:
    """What a phase has written, with how it ended; where that was badly, with the end of what it said."""
    try:
        found = json.loads((out / f"{name}.json").read_text("utf-8"))
    except (OSError, ValueError):
        found = {}
    about: dict[str, Any] = {"status": status, "seconds": round(seconds, 1), "figures": found}
    if status != "done":
        about["said"] = (out / f"{name}.txt").read_text("utf-8", "replace").splitlines()[-30:]
    return about


def write(out: Path, summary: dict[str, Any]) -> None:
    """`summary.json` and `table.md`, each whole or not at all."""
    for name, text in (("summary.json", json.dumps(summary, indent=1)), ("table.md", table(summary))):
        temporary = out / f".{name}"
        temporary.write_text(text + "\n", "utf-8")
        temporary.replace(out / name)


def table(summary: dict[str, Any]) -> str:
    """Every phase and figure as a table in Markdown."""
    lines = ["| phase | figure | found |", "|---|---|---|"]
    for name, found in summary["phases"].items():
        lines.append(f"| **{name}** | {found['seconds']:.0f} s | {found['status']} |")
        if found["status"] != "done" and not found["figures"] and found.get("said"):
            lines.append(f"| | it said | {found['said'][-1].replace('|', '/')} |")
        for figure, values in found["figures"].items():
            lines.append(f"| | {figure} | {'; '.join(words(values))} |")
    return "\n".join(lines)


def words(values: Any) -> Iterable[str]:
    """A figure's values in words; of a fault its last line."""
    if isinstance(values, dict) and "error" in values:
        values = {"error": values["error"].strip().splitlines()[-1].replace("|", "/")}
    for name, value in values.items() if isinstance(values, dict) else [("", values)]:
        yield f"{name} {f'{value:.4g}' if isinstance(value, float) else value}".strip()


if __name__ == "__main__":
    sys.exit(main())
