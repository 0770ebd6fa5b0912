"""Seeded, varied multi-instrument music to train and test on.

`harmony` draws keys and chords, `patterns` and `rhythm_section` say what an instrument plays in a bar, `roles` which
instrument plays what, `compose` makes a song of it.
"""

from scoresep.rendering.composer.compose import COMPOSER_VERSION, compose
from scoresep.rendering.composer.roles import GROUPS

__all__ = ["COMPOSER_VERSION", "GROUPS", "compose"]
