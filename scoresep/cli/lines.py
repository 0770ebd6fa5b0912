"""Messages for people, whatever is in them. Called by the modules of the commands."""

from __future__ import annotations

LONGEST = 1000
"""Characters of a message that are shown."""


def one_line(message: str) -> str:
    """A message as one printable line: what cannot be printed (names of broken files) is written as its code."""
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(message.split()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
