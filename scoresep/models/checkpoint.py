"""Checkpoints: a model in a file, and how it came about.

A checkpoint may come from anyone. Its file runs no code and fills no memory (`models.storage`); its values are checked
here: no network is made before its weights are known to be there, nor one that would take too much memory in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import torch
from torch import Tensor

from scoresep.errors import Damaged, Mismatch, ScoresepError, Unavailable, WrongFormat, WrongVersion, first_line
from scoresep.files import existing_file, first_bytes, replacing
from scoresep.grid import PITCHES, Grid
from scoresep.instruments import Instrument, checked
from scoresep.models import storage
from scoresep.models.compact import compact, expand
from scoresep.models.model import Model
from scoresep.models.networks import Architecture, UnknownNetwork

VERSION = 5
MAX_ACTIVATION = 2**28
"""Values of a layer's output for a block, at most (1 GiB): protects the memory of whoever uses a stranger's model.
The `paper` config needs a fortieth."""
ACTIVATION_FRAMES = 1000
"""Frames of a block in that reckoning; the context comes on top."""
ZIP = b"PK\x03\x04"
"""What files of `torch.save` begin with, checkpoints of versions 1 to 4 among them."""
REMEDY = "train it anew or fetch it again"


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

    @property
    def separates(self) -> bool:
        """Whether the separator was trained; stage 1 trains the transcriptor alone."""
        return self.stage > 1


def untrained_separator(file: str | Path | None = None) -> Mismatch:
    """The refusal to separate by a checkpoint that does not."""
    problem = "a checkpoint of stage 1, which trains the transcriptor alone: its separator is untrained"
    return Mismatch(problem, file=file, remedy="give one of stage 2 or 3")


PLAIN: dict[str, type] = {
    name: get_origin(kind) or kind for name, kind in get_type_hints(Checkpoint).items() if name != "model"
}
"""Fields of `Checkpoint` that are saved as they are, and their types."""


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, *, keep: bool = False, small: bool = False) -> None:
    """Write `checkpoint` to `path`, whole or not at all.

    Args:
        keep: move the file that is there to `previous(path)`. For a moment there is none at `path`; `load_newest`
            finds the previous one then.
        small: round the weights to eight bits (`compact`): a quarter of the size, for use rather than further training.

    Raises:
        Unwritable: the disk is full, there is no permission, ...
    """
    model = model_to_dict(checkpoint.model)
    if small:
        model["networks"] = {name: compact(weights) for name, weights in model["networks"].items()}
    with replacing(path) as temporary:
        storage.write(temporary, VERSION, {"model": model, **{name: getattr(checkpoint, name) for name in PLAIN}})
        if keep and Path(path).exists():
            Path(path).replace(previous(path))


def previous(path: str | Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return Path(path).with_suffix(f".previous{Path(path).suffix}")


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
        checkpoint = load_checkpoint(before)
        aside = path.with_suffix(f".damaged{path.suffix}")
        path.replace(aside)
        note(f"{fault}: skipped for the one before, {before} (after step {checkpoint.steps}); it is now {aside.name}")
        return checkpoint
    note(f"{path} is missing: going on from the one before, {before}")
    return load_checkpoint(before)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint onto the CPU, its networks in evaluation mode.

    Raises:
        NotFound, WrongFormat, WrongVersion, Damaged: no such file, not a checkpoint, of another version, or damaged.
        Unavailable: it has a network of a package that is not installed.
    """
    path = existing_file(path, "checkpoint", "make one with `scoresep train --stage 3`")
    _check_kind(path)
    try:
        content = storage.read(path, VERSION)
    except ScoresepError:
        raise
    except Exception as fault:  # safetensors and json raise many types: SafetensorError, KeyError, RecursionError, ...
        raise Damaged(f"damaged checkpoint ({first_line(fault)})", file=path, remedy=REMEDY) from fault
    try:
        for name, kind in PLAIN.items():
            if type(content[name]) is not kind:
                raise TypeError(f"{name} is no {kind.__name__}")
        if "\0" in content["cache"]:
            raise ValueError("no file has the cache's name")
        model = model_from_dict(content["model"])
        return Checkpoint(model=model.eval(), **{name: content[name] for name in PLAIN})
    except UnknownNetwork as fault:
        raise Unavailable(fault.problem, file=path, remedy="install the package that it comes from") from fault
    except Exception as fault:  # whatever comes of values of the wrong type, out of range, or missing
        raise Damaged("damaged checkpoint: its parts do not fit together", file=path, remedy=REMEDY) from fault


def is_checkpoint(path: str | Path) -> bool:
    """Whether `path` looks like a checkpoint of this version or of an older one."""
    return storage.is_stored(Path(path)) or _is_old(Path(path))


def _is_old(path: Path) -> bool:
    return first_bytes(path, len(ZIP)) == ZIP


def _check_kind(path: Path) -> None:
    if _is_old(path):
        raise WrongVersion(
            f"PyTorch file, as checkpoints were up to version 4; this scoresep reads version {VERSION}",
            file=path,
            remedy="train it anew, or use the scoresep that made it",
        )
    if not storage.is_stored(path):
        raise WrongFormat("not a checkpoint of scoresep", file=path, remedy="give one made with `scoresep train`")


def model_to_dict(model: Model) -> dict[str, Any]:
    """A model as plain values and tensors."""
    return {
        "grid": model.grid.to_dict(),
        "instruments": [instrument.to_dict() for instrument in model.instruments],
        "architecture": model.architecture.to_dict(),
        "mask": model.mask,
        "critic": model.critic,
        "conditioned": model.conditioned,
        "bandwidth": model.bandwidth,
        "threshold": list(model.threshold),
        "onset_threshold": list(model.onset_threshold),
        "networks": {name: network.state_dict() for name, network in model.networks.items()},
    }


def model_from_dict(values: Mapping[str, Any]) -> Model:
    """The model of such values, whose tensors become its weights. Until they are known to fit, it takes no memory.

    Raises:
        ScoresepError, ValueError, ...: they do not fit together, or ask for a model beyond any memory.
    """
    with torch.device("meta"):
        model = Model(
            Grid.from_dict(values["grid"]),
            checked(tuple(Instrument.from_dict(instrument) for instrument in values["instruments"])),
            Architecture.from_dict(values["architecture"]),
            values["mask"],
            values["critic"],
            values.get("conditioned", False) is True,  # older checkpoints say nothing of it, nor of a bandwidth
            float(values.get("bandwidth", 0.0)),
        )
    if activation(model) > MAX_ACTIVATION:
        raise ValueError("it needs more memory for a block than there is")
    for name, network in model.networks.items():
        weights = expand(values["networks"][name])
        if _kinds(network.state_dict()) != _kinds(weights):
            raise ValueError(f"the weights are not those of its {name}")
        network.load_state_dict(weights, assign=True)
    count = len(model.instruments)
    model.threshold = _thresholds(values["threshold"], count)
    model.onset_threshold = _thresholds(values["onset_threshold"], count)
    return model


def activation(model: Model) -> int:
    """Values of the widest layer's output for a block of usual length with its context."""
    count, frames = len(model.instruments), ACTIVATION_FRAMES + 2 * model.architecture.context
    return frames * max(count * model.grid.bins, 2 * count * PITCHES, model.architecture.width(model.grid.bins))


def _kinds(weights: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in weights.items()}


def _thresholds(values: list[float], count: int) -> list[float]:
    thresholds = [float(value) for value in values]
    if len(thresholds) != count or not all(0.0 <= value <= 1.0 for value in thresholds):
        raise ValueError(f"{thresholds} are not the thresholds of {count} instruments")
    return thresholds
