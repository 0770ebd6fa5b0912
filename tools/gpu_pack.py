"""What travels to a machine without a network: wheels of what is missing there, MIDI songs, SoundFonts. Used by `gpu`.

The wheels are those of `constraints.txt` for x86-64 Linux and Python 3.12. A package's own requirements are read where
it is installed, so `pack` runs in the project's environment; pip fetches the files.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")
THERE = ("torch", "numpy", "scipy", "numba", "h5py", "matplotlib", "rich", "typer")
"""What the other machine has, with all that these need."""
ALONE = ("museval",)
"""Of these a module that needs NumPy and SciPy only is used (`evaluation.metrics`): their requirements stay here."""
LEFT_OUT = ("scoresep", "grpcio", "tensorboard-data-server")
"""The project itself; what shows TensorBoard's logs and is not needed to write them."""
MOST_BYTES = 60_000_000
"""Of all that travels, the project included."""
Sizes = dict[str, int]


class Unpackable(Exception):
    """Why there can be no pack, and what to do."""


def pack(out: Path, midi: Path | None, soundfonts: Iterable[Path], songs: int | None) -> Sizes:
    """Fill the folder `out`, anew; the bytes of each part of what travels.

    Args:
        out: gets `wheels`, `midi` and `soundfonts`.
        midi: folder of songs, searched recursively.
        soundfonts: banks beside the one that comes with the wheel of pretty_midi.
        songs: how many, spread evenly over the folder; None for all.

    Raises:
        Unpackable: there are no songs, or wheels cannot be had; what lay in `out` before lies there still.
    """
    found = sorted(path for path in midi.rglob("*") if path.suffix.lower() in (".mid", ".midi")) if midi else []
    count = len(found) if songs is None else min(songs, len(found))
    if midi and count < 1:
        raise Unpackable(f"{midi}: no songs (.mid, .midi) to take; give --midi a folder of some, and --songs above 0")
    chosen = [found[k * len(found) // count] for k in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        fetch_wheels(Path(folder), wheels_wanted())
        for name in ("wheels", "midi", "soundfonts"):
            shutil.rmtree(out / name, ignore_errors=True)
        shutil.copytree(folder, out / "wheels")
    for name in ("midi", "soundfonts"):
        (out / name).mkdir()
    for number, path in enumerate(chosen):
        shutil.copyfile(path, out / "midi" / f"{number:04d}-{path.name}")
    for path in soundfonts:
        shutil.copyfile(path, out / "soundfonts" / path.name)
    return {"project": project_bytes(), **{path.name: folder_bytes(path) for path in sorted(out.iterdir())}}


def wheels_wanted() -> list[str]:
    """Names and versions of all that is missing there.

    Raises:
        Unpackable: this is not the project's environment.
    """
    try:
        needed, versions = missing(), pinned()
    except ImportError as fault:  # of a package, or of what is known about one
        raise Unpackable(
            f"{fault}; run `pack` in the project's environment: pip install -c constraints.txt -e '.[test]'"
        ) from fault
    if unpinned := needed - versions.keys():
        raise Unpackable(f"constraints.txt has no version of {', '.join(sorted(unpinned))}; add it")
    return [f"{name}=={versions[name]}" for name in sorted(needed)]


def fetch_wheels(folder: Path, wanted: Iterable[str]) -> None:
    """Download wheels.

    Raises:
        Unpackable: pip could not; what it said is on standard error.
    """
    options = ["--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--quiet", "--dest", str(folder)]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    line = [sys.executable, "-m", "pip", "download", *options, *platforms, *wanted]
    if subprocess.run(line).returncode:
        raise Unpackable("pip could not fetch all wheels, see above; mend that and pack again")


def missing() -> set[str]:
    """Names of the packages that scoresep and its tests on a GPU need and that are not there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return closure([*project["dependencies"], "pytest"]) - closure(THERE) - set(LEFT_OUT)


def closure(roots: Iterable[str]) -> set[str]:
    """The packages of some requirements and all that those require, by their normal names."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    there = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "sys_platform": "linux"}
    found: set[tuple[str, str]] = set()
    left = [(Requirement(root), "") for root in roots]
    while left:
        requirement, extra = left.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in found or name in LEFT_OUT:
            continue
        found.add((name, extra))
        needs = [] if name in ALONE else map(Requirement, metadata.requires(name) or [])
        wanted = (need for need in needs if not need.marker or need.marker.evaluate({**there, "extra": extra}))
        left += [(need, more) for need in wanted for more in ("", *need.extras)]
    return {name for name, _ in found}


def pinned() -> dict[str, str]:
    """The versions of `constraints.txt` by normal name."""
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version.strip() for name, _, version in pairs}


def project_bytes() -> int:
    """Of the files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return sum((ROOT / name).stat().st_size for name in listed.decode().split("\0") if name and (ROOT / name).exists())


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
