"""Seeded, varied music to train and test on: songs of four instruments and more, and of whole bands.

`harmony` draws keys and chords; `patterns`, `rhythm_section` and `playing` say what an instrument plays in a bar.
`compose` makes a song of it; `band` does in a style of `styles`, with charts and drummers of `material`.
"""

from scoresep.rendering.composer.band import BAND_GROUPS, compose_band
from scoresep.rendering.composer.compose import COMPOSER_VERSION, GROUPS, compose
from scoresep.rendering.composer.material import band_material

__all__ = ["BAND_GROUPS", "COMPOSER_VERSION", "GROUPS", "band_material", "compose", "compose_band"]
