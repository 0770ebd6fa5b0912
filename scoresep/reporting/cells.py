"""What tables of the page are made of, and how their figures are written. Called by `tables` and `panels`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """A figure, and smaller what belongs to it."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table; `strong` marks the model's own."""

    label: str
    cells: tuple[Cell, ...]
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table: `corner` heads the labels, `columns` the figures; `folded` ones are opened by a click."""

    title: str
    about: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: bool = False


@dataclass(frozen=True)
class Fact:
    """A headline figure."""

    value: str
    label: str
    small: str = ""


def decimal(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{value:.{decimals}f}".replace("-", "−")


def gain(value: float | None, unit: str = "") -> str:
    return NOTHING if value is None else f"{value:+.1f}{unit}".replace("-", "−")


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.0f} %"


def interval(ends: Sequence[float] | None, form: str) -> str:
    """'+1.0 to +2.3'; '' if there is none."""
    return " to ".join(format(end, form).replace("-", "−") for end in ends) if ends else ""
