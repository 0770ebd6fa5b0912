"""Packages outside of the project: the code of the how-to pages, laid out as an installer would lay it."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import soundfile

from scoresep.datasets.table import DATASETS
from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.metric_table import METRICS
from scoresep.losses.table import LOSSES
from scoresep.masks.table import MASKS
from scoresep.models.networks import NETWORKS

ROOT = Path(__file__).parents[2]
TABLES = (NETWORKS, LOSSES, DATASETS, METRICS, BASELINES, MASKS)


@dataclass(frozen=True)
class Package:
    """What a package holds.

    Attributes:
        files: modules and configs by name.
        points: group -> name -> object, its entry points.
    """

    files: Mapping[str, str]
    points: Mapping[str, Mapping[str, str]]

    def install(self, site: Path, name: str = "outside") -> Path:
        """Lay the files beside the metadata that pip would write; returns `site`."""
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
        lines = [
            f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()) for group, rows in self.points.items()
        ]
        (info / "entry_points.txt").write_text("".join(lines), "utf-8")
        for file, text in self.files.items():
            (site / file).write_text(text, "utf-8")
        return site


def how_to(*pages: str) -> Package:
    """All that pages of docs/how-to show, in one package: each file begins with its name."""
    files, points = {}, {}
    for page in pages:
        text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
        for name, shown in re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            if name != "pyproject.toml":
                files[name] = shown
                continue
            for group, rows in tomllib.loads(shown)["project"]["entry-points"].items():
                points.setdefault(group, {}).update(rows)
    return Package(files, points)


@pytest.fixture(scope="session")
def package() -> type[Package]:
    return Package


@pytest.fixture(scope="session")
def shown() -> Callable[..., Package]:
    """`how_to(*pages)`."""
    return how_to


class Installer:
    """Installs packages for this process, and removes them with all that the tables and Python know of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sites: list[Path] = []

    def __call__(self, package: Package, name: str = "outside") -> None:
        site = package.install(self.folder / f"site-{name}", name)
        self.sites.append(site)
        sys.path.insert(0, str(site))
        self.forget()

    def remove(self) -> None:
        for site in self.sites:
            sys.path.remove(str(site))
            for module in [name for name, module in sys.modules.items() if lies_in(module, site)]:
                del sys.modules[module]
        self.sites.clear()
        self.forget()

    @staticmethod
    def forget() -> None:
        """Let the tables look anew."""
        importlib.invalidate_caches()
        for table in TABLES:
            for name in ("data", "outside"):
                table.__dict__.pop(name, None)


def lies_in(module: ModuleType, folder: Path) -> bool:
    """Whether a module's file is in a folder."""
    return Path(getattr(module, "__file__", None) or "/").parent == folder


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installer]:
    """Installs packages for this process until the test ends."""
    installer = Installer(tmp_path)
    yield installer
    installer.remove()


@pytest.fixture
def recordings(tmp_path: Path, make) -> Path:
    """A folder as docs/how-to/dataset.md supposes it: six recordings of a second with notes, one without."""
    folder = tmp_path / "mydata"
    folder.mkdir()
    for number in range(6):
        notes = [(1600, 8000, 65 + number), (8000, 14400, 40)]
        lines = [f"{start},{end},{33 * (pitch == 40)},{pitch}" for start, end, pitch in notes]
        (folder / f"take{number}.csv").write_text("\n".join(["start,end,program,pitch", *lines]))
        played = [(start / 16000, end / 16000, pitch) for start, end, pitch in notes]
        soundfile.write(folder / f"take{number}.wav", make.play(played, 1.0), make.rate)
    soundfile.write(folder / "unlabelled.wav", make.play([], 1.0), make.rate)
    return folder
