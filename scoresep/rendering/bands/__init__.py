"""Whole bands: songs in styles, with the harmony of chord charts and the playing of recorded drummers where given."""

from __future__ import annotations

from scoresep.rendering.bands.band import BAND_GROUPS, compose_band
from scoresep.rendering.bands.material import band_material

__all__ = ["BAND_GROUPS", "band_material", "compose_band"]
