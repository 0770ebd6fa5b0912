"""A track's `metadata.yaml`, believed in nothing.
Whatever is wrong with it is raised as a `ValueError` whose message is the reason that the report of `prepare` gives.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import yaml

from scoresep.files import decoded
from scoresep.instruments import DRUM_PROGRAM

LARGEST_METADATA = 1 << 20
"""Bytes; Slakh's are of some thousand."""
SAFE_FOR_LIBYAML = 16_000
"""Bytes of metadata that the fast parser is given."""


class Metadata(NamedTuple):
    """What one file says.

    Attributes:
        uuid: identity of the composition, '' if there is none.
        stems: what is said of each stem, by its name.
        foreign: whether it names folders of the machine that it was written on.
    """

    uuid: str
    stems: dict[str, Any]
    foreign: bool = False


def read_metadata(path: Path) -> Metadata:
    """Read a track's metadata.

    Raises:
        FileNotFoundError: it is missing.
        OSError, ValueError: it cannot be opened, is not YAML, or not of Slakh's form; the message is the reason.
    """
    content = path.read_bytes()
    if len(content) > LARGEST_METADATA:
        raise ValueError(f"larger than {LARGEST_METADATA >> 20} MiB")
    # libyaml is 8 times faster, but overruns the stack where tens of thousands of brackets open
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if len(content) < SAFE_FOR_LIBYAML else yaml.SafeLoader
    try:
        metadata = yaml.load(decoded(content), loader)
    except Exception as fault:  # besides YAMLError: impossible dates and numbers, recursion, bytes that are no UTF-8
        raise ValueError(f"not YAML: {_said(fault)}") from fault
    if not isinstance(metadata, dict):
        raise ValueError(f"holds {_kind(metadata)} instead of a table of UUID and stems")
    stems = metadata.get("stems")
    if not isinstance(stems, dict):
        raise ValueError(f"stems is {_kind(stems)} instead of a table" if "stems" in metadata else "has no stems")
    folders = [metadata.get(key) for key in ("audio_dir", "midi_dir")]
    # an anchor, of whatever system, makes a path absolute
    foreign = any(isinstance(folder, str) and PureWindowsPath(folder).anchor != "" for folder in folders)
    return Metadata(_uuid(metadata.get("UUID")), {str(name): about for name, about in stems.items()}, foreign)


def _uuid(value: Any) -> str:
    """The UUID as a text that any file can hold; '' for none."""
    uuid = "" if value is None else str(value) if isinstance(value, str | int | float) else None
    if uuid is None or len(uuid) > 200 or not uuid.isprintable():
        raise ValueError(f"UUID is {_kind(value)} instead of a short text")
    return uuid


def _said(fault: Exception) -> str:
    """What a YAML parser has to say, with the line, as one short line that any file can hold."""
    mark = getattr(fault, "problem_mark", None)
    said = " ".join(str(getattr(fault, "problem", None) or fault or type(fault).__name__).split())[:200]
    said = "".join(letter if letter.isprintable() else "?" for letter in said)
    return f"{said}, line {mark.line + 1}" if mark else said


def _kind(value: Any) -> str:
    """A value for a message, without the content of lists and tables, which may be endless."""
    kinds = {dict: "a table", list: "a list", set: "a set", type(None): "nothing"}
    return kinds.get(type(value)) or repr(value)[:40]


def program_of(name: str, about: Any) -> tuple[int, bool]:
    """`program_num` and `is_drum` of a stem.

    Raises:
        ValueError: one is missing or no such value; guessing would put the stem into a wrong group.
    """
    if not isinstance(about, dict):
        raise ValueError(f"stem {name} is {_kind(about)} instead of a table")
    if missing := [key for key in ("program_num", "is_drum") if about.get(key) is None]:
        raise ValueError(f"stem {name} has no {missing[0]}")
    program, is_drum = about["program_num"], about["is_drum"]
    if isinstance(program, str) and len(program) < 4 and program.isdecimal():
        program = int(program)
    if not isinstance(program, int) or isinstance(program, bool) or not 0 <= program <= DRUM_PROGRAM:
        raise ValueError(f"stem {name} has program_num {_kind(program)} instead of 0 to 127, or 128 for drums")
    if not isinstance(is_drum, bool):
        raise ValueError(f"stem {name} has is_drum {_kind(is_drum)} instead of true or false")
    return program, is_drum
