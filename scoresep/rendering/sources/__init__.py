"""Sound sources: a kind is a file and a row of `SOURCES`."""

from __future__ import annotations

from scoresep.rendering.patch import Source
from scoresep.rendering.sources.sfz import SFZ
from scoresep.rendering.sources.soundfont import SOUNDFONT

SOURCES: dict[str, Source] = {"soundfont": SOUNDFONT, "sfz": SFZ}
