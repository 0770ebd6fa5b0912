"""A project as one file: all of it that cannot be computed from the rest at once."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np

from scoresep.errors import Damaged, ScoresepError, naming
from scoresep.files import replacing, writing
from scoresep.models.model import Model
from scoresep.studio.analysis import NAMES
from scoresep.studio.project import Project
from scoresep.studio.state import STATE, State, read_state

SUFFIX = ".scoresep"
LARGEST_STATE = 2**27
"""Bytes of a project.json."""

UNREADABLE = (OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, NotImplementedError, RuntimeError)
"""What reading a file that is none may raise."""


def inner_names(state: State) -> list[str]:
    """Names of the files that a packed project holds."""
    names = [STATE, state.recording, *(f"analysis/{name}.npy" for name in NAMES)]
    return names + [f"versions/{version.id}/masks.npy" for version in state.versions]


def pack(project: Project, path: Path) -> None:
    """Write a project as one file; it is to be complete."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for name in inner_names(project.state):
            out.write(project.folder / name, name)


def unpack(file: Path, folder: Path, model: Model, limit: int) -> Project:
    """The project of one file, in a folder whose project has no recording; `Project.prepare` computes its stems.

    Raises:
        Damaged: it is no project, or holds what no project holds.
        WrongVersion: another version of scoresep wrote it.
        Mismatch: another model made it.
    """
    place = folder / "unpacked"
    try:
        with naming(file), writing(folder), zipfile.ZipFile(file) as packed:
            state = read_state(_bounded(packed, STATE, limit), model)
            names = inner_names(state)
            if sum(packed.getinfo(name).file_size for name in names) > limit:
                raise ValueError("larger than it may be")
            for name in names:  # names that we made, never those of the file
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                with packed.open(name) as inside, (place / name).open("wb") as out:
                    shutil.copyfileobj(inside, out)
                if name.endswith(".npy"):
                    np.load(place / name, mmap_mode="r")  # refuses what is cut short or no array
        for name in [*dict.fromkeys(name.partition("/")[0] for name in reversed(names))]:  # project.json last
            (place / name).rename(folder / name)
    except ScoresepError:
        raise
    except (*UNREADABLE, zipfile.BadZipFile) as fault:
        raise Damaged(f"is no project ({fault})", file=file, remedy="give one that the studio wrote") from fault
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return Project(folder, model)


def _bounded(packed: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if packed.getinfo(name).file_size > min(limit, LARGEST_STATE):
        raise ValueError("larger than it may be")
    return packed.read(name)
