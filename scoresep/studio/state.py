"""What a project remembers: project.json as dataclasses, checked when it is read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scoresep.arguments import as_notes
from scoresep.errors import Damaged, Mismatch, WrongVersion, naming
from scoresep.files import write_json
from scoresep.models.model import Model, identity
from scoresep.separation.score_prior import as_weight

FORMAT = 1
"""Of project.json."""
STATE = "project.json"


class Conflict(Mismatch):
    """Notes that were changed elsewhere in the meantime."""


@dataclass(frozen=True)
class Version:
    """One separation.

    Attributes:
        id: number, ascending.
        weight: of the notes; 0 for the model's own masks.
        present: names of the instruments that play.
        span: seconds that were separated again; none for all.
    """

    id: int
    weight: float
    present: tuple[str, ...]
    span: tuple[float, float] | None = None


@dataclass
class State:
    """What project.json holds.

    Attributes:
        name: of the recording, as it was given.
        recording: name of its file in the folder; '' if there is none yet.
        rate, channels, samples: of the recording.
        model: SHA-256 of the networks' weights.
        heard: notes as the transcriptor heard them: instrument -> rows of onset s, offset s, pitch, velocity.
        notes: as they are now.
        revision: how often the notes have changed.
        versions: of the stems, the latest last; none before the recording is separated.
        beat: as it was tapped: beats a minute, and seconds at which a measure begins; none before.
        mix: stem -> level, pan, mute and solo, as they were set last.
    """

    name: str = ""
    recording: str = ""
    rate: int = 0
    channels: int = 0
    samples: int = 0
    model: str = ""
    heard: dict[str, list[list[float]]] = field(default_factory=dict)
    notes: dict[str, list[list[float]]] = field(default_factory=dict)
    revision: int = 0
    versions: list[Version] = field(default_factory=list)
    mix: dict[str, dict[str, float]] = field(default_factory=dict)
    beat: tuple[float, float] | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> State:
        """What `asdict` gave, from a file that anyone may have written; raises ValueError, TypeError or KeyError."""
        given = {name: values[name] for name in cls.__dataclass_fields__}
        given["versions"] = [
            Version(int(v["id"]), as_weight(v["weight"]), tuple(map(str, v["present"])), as_span(v["span"]))
            for v in values["versions"]
        ]
        given["mix"] = as_mix(values["mix"], values["mix"])
        given["beat"] = as_beat(values["beat"])
        state = cls(**given)
        if not isinstance(state.name, str):
            raise ValueError("a name that is no text")
        if Path(state.recording).name != state.recording or not re.fullmatch(r"(recording\.\w+)?", state.recording):
            raise ValueError(f"a recording called {state.recording!r}")
        if not all(isinstance(getattr(state, name), int) for name in ("rate", "channels", "samples", "revision")):
            raise ValueError("numbers that are none")
        return state


LANE = {"level": 1.0, "pan": 0.0, "mute": 0.0, "solo": 0.0}
"""What is set of a lane, and what it begins with."""


def as_mix(mix: Any, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """The settings of the lanes called `names`; raises TypeError, ValueError or AttributeError for what is none."""
    lanes = {
        name: {key: float(mix[name].get(key, usual)) for key, usual in LANE.items()} for name in names if name in mix
    }
    if not all(math.isfinite(value) for lane in lanes.values() for value in lane.values()):
        raise ValueError("a level that is no number")
    return lanes


def as_span(span: Any) -> tuple[float, float] | None:
    """A beginning and an end, or none; raises TypeError or ValueError for what is neither."""
    if span is None:
        return None
    begin, end = (float(value) for value in span)
    return begin, end


def as_beat(beat: Any) -> tuple[float, float] | None:
    """A tempo and a beginning, or none; raises TypeError or ValueError for what is neither."""
    if beat is None:
        return None
    tempo, first = (float(value) for value in beat)
    if not (20 <= tempo <= 400 and 0 <= first < 86400):
        raise ValueError("no beat")
    return tempo, first


def write_state(folder: Path, state: State) -> None:
    """Write project.json, whole or not at all."""
    write_json(folder / STATE, {"scoresep_project": FORMAT, **asdict(state)})


def read_state(text: str | bytes, model: Model) -> State:
    """The state in a project.json.

    Raises:
        ValueError, TypeError, KeyError, InvalidValue: it is none.
        WrongVersion: another version of scoresep wrote it.
        Mismatch: another model made the project.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or "scoresep_project" not in values:
        raise ValueError("it does not say that it is one")
    if values["scoresep_project"] != FORMAT:
        raise WrongVersion("another version of scoresep wrote this project", remedy="open it with that version")
    if values["model"] != identity(model):
        raise Mismatch("another model made this project", remedy="give its checkpoint with --ckpt")
    for kind in ("notes", "heard"):
        as_notes(values[kind], model.instruments)
    return State.from_dict(values)


def open_state(path: Path, model: Model) -> State:
    """The state in a file.

    Raises:
        Damaged, InvalidValue: it is none.
        WrongVersion: another version of scoresep wrote it.
        Mismatch: another model made the project.
    """
    try:
        with naming(path):
            return read_state(path.read_text("utf-8"), model)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise Damaged(f"cannot be read as a project ({fault})", file=path, remedy="begin another one") from fault
