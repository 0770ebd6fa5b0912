"""Tables whose rows can also come from other packages, through Python entry points.

An entry point of the table's group names a row and the object that is the row::

    [project.entry-points."scoresep.metrics"]
    click_rate = "my_package:CLICK_RATE"

https://packaging.python.org/en/latest/specifications/entry-points/
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from scoresep.errors import AlreadyExists, Failed, InvalidValue, ScoresepError, Unavailable, WrongFormat, first_line

Row = TypeVar("Row")


class Registry(UserDict[str, Row]):
    """Rows by name: our own, then those of entry points, which are loaded when the table is first looked at.

    Args:
        group: of entry points, such as 'scoresep.metrics'.
        kind: class of the rows.
        rows: our own.
        reserved: names that no row may have.

    Raises (when it is looked at):
        Unavailable: an entry point cannot be loaded.
        WrongFormat: it is no `kind`.
        AlreadyExists, InvalidValue: its name is that of another row, or not an identifier.
    """

    def __init__(self, group: str, kind: type[Row], rows: Mapping[str, Row], reserved: Collection[str] = ()) -> None:
        self._group, self._kind, self._rows, self._reserved = group, kind, rows, reserved

    @cached_property
    def data(self) -> dict[str, Row]:  # type: ignore[override]
        return {**self._rows, **{name: load(point, self._kind) for name, point in self.outside.items()}}

    @cached_property
    def outside(self) -> dict[str, EntryPoint]:
        """The entry points, by name."""
        known: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self._group), key=lambda point: (point.name, origin(point))):
            if not point.name.isidentifier():
                raise fault_of(InvalidValue, point, "has a name of other characters than letters, digits and _")
            if point.name in known or point.name in {*self._rows, *self._reserved}:
                other = origin(known[point.name]) if point.name in known else "scoresep"
                raise fault_of(AlreadyExists, point, f"has a name that {other} uses; rename one of the two")
            known[point.name] = point
        return known

    def register(self, name: str, row: Row) -> None:
        """Add a row from Python; a module that a config names in `plugins` does so when it is imported.

        Raises:
            AlreadyExists: the name is taken.
            InvalidValue: the name is no identifier, or the row of another class.
        """
        if not name.isidentifier() or not isinstance(row, self._kind):
            raise InvalidValue(
                f"'{name}' is no row of {self._group}: its name is no identifier, or it is no {self._kind.__name__}",
                remedy="correct the plugin",
            )
        if name in self._reserved or self.data.setdefault(name, row) is not row:
            raise AlreadyExists(f"{self._group} has another row '{name}'", remedy="rename one of them")

    def describe(self) -> dict[str, str]:
        """Rows from outside by name, with package and version."""
        return {name: origin(point) for name, point in self.outside.items()}

    @contextmanager
    def running(self, name: str, of: str) -> Iterator[None]:
        """Turn what a row from outside raises in the block into one line; `of`: what it was called on."""
        try:
            yield
        except ScoresepError:
            raise
        except Exception as fault:
            if name not in self.outside:
                raise
            what = f"failed on {of} ({type(fault).__name__}: {first_line(fault)})"
            raise fault_of(Failed, self.outside[name], what) from fault


def load(point: EntryPoint, kind: type[Row]) -> Row:
    """The row that an entry point names.

    Raises:
        Unavailable: it cannot be loaded.
        WrongFormat: it is no `kind`.
    """
    try:
        row = point.load()
    except (Exception, SystemExit) as fault:  # whatever a module of others does when it is imported
        raise fault_of(Unavailable, point, f"cannot be loaded ({type(fault).__name__}: {first_line(fault)})") from fault
    if not isinstance(row, kind):
        raise fault_of(WrongFormat, point, f"is a {type(row).__name__}, not a {kind.__module__}.{kind.__name__}")
    return row


def origin(point: EntryPoint) -> str:
    """Package and version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"


def fault_of(kind: type[ScoresepError], point: EntryPoint, what: str) -> ScoresepError:
    """The error that names an entry point and its package."""
    package = point.dist.name if point.dist else "the package"
    problem = f"'{point.name}' of {point.group} ({point.value}, from {origin(point)}) {what}"
    return kind(problem, remedy=f"mend {package}, or pip uninstall {package}")
