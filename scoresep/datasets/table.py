"""The table of datasets."""

from __future__ import annotations

from scoresep.datasets.base import Dataset
from scoresep.datasets.pairs import PAIRS
from scoresep.datasets.slakh import SLAKH
from scoresep.plugins import Registry

BUILT_IN = {"slakh": SLAKH, "pairs": PAIRS}
DATASETS = Registry("scoresep.datasets", Dataset, BUILT_IN)
"""Datasets by name; those of other packages come through entry points of the group `scoresep.datasets`."""
