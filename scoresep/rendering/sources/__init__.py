"""Sound sources. A new kind is a file and a row of `SOURCES`."""

from __future__ import annotations

from scoresep.rendering.sources.base import SoundSource
from scoresep.rendering.sources.sfz import SFZ
from scoresep.rendering.sources.soundfont import SOUNDFONT
from scoresep.rendering.sources.voice import VOICE

SOURCES: dict[str, SoundSource] = {"soundfont": SOUNDFONT, "sfz": SFZ, "voice": VOICE}
