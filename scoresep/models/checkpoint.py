"""Checkpoints: a model in a file, and how it came about.
A checkpoint holds plain values and tensors only and is read with `weights_only=True`: a file from a stranger cannot
run code. Nor can it take more memory than its own size warrants: `archive` looks through it first, and no network is
made before its weights are known to be there. A digest tells a damaged file from a whole one: torch reads flipped bits
without a word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scoresep import __version__
from scoresep.errors import ScoresepError, first_line
from scoresep.files import existing_file, first_bytes, replacing
from scoresep.models.archive import look_through
from scoresep.models.compact import compact
from scoresep.models.model import Model
from scoresep.models.networks import ROLES, UnknownNetwork

FORMAT = "scoresep-checkpoint"
VERSION = 4
OLDER = {2, 3}
"""Versions that are read, too (`upgraded`)."""


@dataclass
class Checkpoint:
    """A model with its history.

    Attributes:
        model: the networks.
        stage: the last stage that trained them (1-3).
        steps: steps of that stage that were made.
        complete: whether the stage came to its end.
        config: the settings of the run, as plain values.
        cache: where the cache lay, and its digest: evaluation finds its data by it.
        cache_digest: identity of the cache's content.
        parent: `identity` of the model that the stage began with, '' for fresh weights.
        history: one record per validation.
        resume: state to go on with (optimisers, generators); empty in a finished checkpoint.
    """

    model: Model
    stage: int
    steps: int
    complete: bool
    config: dict[str, Any]
    cache: str
    cache_digest: str
    parent: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    resume: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, *, keep: bool = False, small: bool = False) -> None:
    """Write `checkpoint` to `path`, whole or not at all; `keep` moves the one that is there to `previous(path)`.

    `small` rounds its weights to eight bits (`compact`): a quarter of the room, for use rather than for training on.
    Between the two moves there is none at `path`: `load_newest` finds the previous one then.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "scoresep": __version__,
        "model": checkpoint.model.to_dict(),
        **{name: getattr(checkpoint, name) for name in PLAIN},
    }
    if small:
        networks = content["model"]["networks"]
        content["model"]["networks"] = {name: compact(weights) for name, weights in networks.items()}
    content["digest"] = digest_of(content)
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            torch.save(content, file)
        if keep and Path(path).exists():
            Path(path).replace(previous(path))


PLAIN: dict[str, type] = {
    "stage": int,
    "steps": int,
    "complete": bool,
    "config": dict,
    "cache": str,
    "cache_digest": str,
    "parent": str,
    "history": list,
    "resume": dict,
}
"""Fields of `Checkpoint` that are saved as they are, and their types."""


def previous(path: str | Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return Path(path).with_suffix(f".previous{Path(path).suffix}")


def digest_of(content: Any) -> str:
    """SHA-256 of nested dicts, lists and tuples of plain values and tensors, with all their names, types and shapes."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        elif isinstance(value, dict):
            add([*value])
            add([*value.values()])
        elif isinstance(value, (list, tuple)):
            digest.update(f"{len(value)}[".encode())
            for item in value:
                add(item)
        else:
            digest.update(f"{value!r},".encode())

    add(content)
    return digest.hexdigest()


def load_newest(path: Path, note: Callable[[str], None]) -> Checkpoint | None:
    """The checkpoint at `path`, or where that is damaged or missing the one before; None where there is neither.

    A damaged file is put aside under another name, so that it never takes the place of the one before.

    Args:
        path: the newest checkpoint.
        note: called with a line that says what was skipped.

    Raises:
        ScoresepError: the only one, or both, cannot be used.
    """
    before = previous(path)
    try:
        if path.exists() or not before.exists():
            return load_checkpoint(path) if path.exists() else None
    except ScoresepError as fault:
        if not before.exists():
            raise
        found = load_checkpoint(before)
        aside = path.with_suffix(f".damaged{path.suffix}")
        path.replace(aside)
        note(f"{fault}: skipped for the one before, {before} (after step {found.steps}); it is now {aside.name}")
        return found
    note(f"{path} is missing: going on from the one before, {before}")
    return load_checkpoint(before)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint onto the CPU, its networks in evaluation mode.

    Raises:
        ScoresepError: no such file, not a checkpoint of ours, another version, or a damaged one.
    """
    path = existing_file(path, "checkpoint", "make one with `scoresep train --stage 3`")
    try:
        about = look_through(path)
        _check_kind(about, path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except ScoresepError:
        raise
    except Exception as fault:  # torch and pickle raise many types: UnpicklingError, RuntimeError, EOFError, ...
        raise ScoresepError(
            f"{path} is not a readable checkpoint ({first_line(fault)}); train it anew or fetch it again"
        ) from fault
    stated = content.pop("digest", None)
    if stated is not None and stated != digest_of(content):
        raise ScoresepError(f"{path} is damaged: its content is not what was written; train it anew or fetch it again")
    try:
        content = upgraded(content)
        for name, kind in PLAIN.items():
            if type(content[name]) is not kind:
                raise TypeError(f"{name} is no {kind.__name__}")
        if "\0" in content["cache"]:
            raise ValueError("the cache's name is none of a file")
        model = Model.from_dict(content["model"])
        return Checkpoint(model=model.eval(), **{name: content[name] for name in PLAIN})
    except UnknownNetwork as fault:
        raise ScoresepError(f"{path} has an {fault}; install the package that it comes from") from fault
    except Exception as fault:  # whatever comes of values of the wrong type, out of range, or missing
        raise ScoresepError(f"{path} is damaged: its parts do not fit together; train it anew") from fault


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint of an older version as this one has it.

    Version 3 called a config a recipe and its batch size `batch`; version 2 had one trunk for both networks.
    """
    if content["version"] == VERSION:
        return content
    model, config = dict(content["model"]), dict(content["recipe"])
    if "data" in config:
        data = dict(config["data"])
        config["data"] = {"batch_size" if name == "batch" else name: value for name, value in data.items()}
    if content["version"] == 2:
        trunk = {"network": "tcn", **model.pop("trunk")}
        model["architecture"] = dict.fromkeys(ROLES, trunk)
        if config.pop("trunk", None) is not None:
            config |= model["architecture"]
    return {**content, "model": model, "config": config}


def _check_kind(about: Any, path: Path) -> None:
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ScoresepError(f"{path} is not a checkpoint of scoresep; give one made with `scoresep train`")
    if about.get("version") not in (VERSION, *OLDER):
        raise ScoresepError(
            f"{path} is a checkpoint of version {about.get('version')}, this scoresep reads version {VERSION}; "
            f"train it anew or use the scoresep that made it ({about.get('scoresep', 'unknown')})"
        )


def is_checkpoint(path: str | Path) -> bool:
    """Whether `path` looks like a file that `torch.save` wrote (a ZIP archive)."""
    return first_bytes(Path(path), 4) == b"PK\x03\x04"
