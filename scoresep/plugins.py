"""Rows that other installed packages add to the project's tables, through Python entry points."""

from __future__ import annotations

from importlib import metadata
from typing import TypeVar

from scoresep.errors import ScoresepError, first_line

Row = TypeVar("Row")


def plugins(group: str, kind: type[Row]) -> list[Row]:
    """What installed packages give under the entry point group `group`, such as `scoresep.losses`, ordered by name.

    Raises:
        ScoresepError: an entry point cannot be loaded, or is no `kind`; names it, its package and the remedy.
    """
    rows = []
    for point in sorted(metadata.entry_points(group=group), key=lambda point: point.name):
        package = point.dist.name if point.dist else point.module
        remedy = f"mend or uninstall {package}"
        try:
            row = point.load()
        except Exception as fault:  # whatever a stranger's module raises
            raise ScoresepError(
                f"{group}: '{point.name}' of {package} cannot be loaded ({first_line(fault)}); {remedy}"
            ) from fault
        if not isinstance(row, kind):
            raise ScoresepError(f"{group}: '{point.name}' of {package} is no {kind.__name__}; {remedy}")
        rows.append(row)
    return rows
