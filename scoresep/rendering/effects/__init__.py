"""Effects. A new one is a file and a row of `EFFECTS`; `chain.ROUTES` says which instruments go through it."""

from __future__ import annotations

from scoresep.rendering.effects.base import Effect
from scoresep.rendering.effects.drive import AMPLIFIER, SATURATION
from scoresep.rendering.effects.mixing_desk import COMPRESSOR, EQUALISER
from scoresep.rendering.effects.modulation import CHORUS, PHASER, ROTARY, TREMOLO, WAH
from scoresep.rendering.effects.space import DELAY, DEVICE, ROOM

EFFECTS: dict[str, Effect] = {
    "compressor": COMPRESSOR,
    "amplifier": AMPLIFIER,
    "chorus": CHORUS,
    "tremolo": TREMOLO,
    "phaser": PHASER,
    "wah": WAH,
    "rotary": ROTARY,
    "saturation": SATURATION,
    "equaliser": EQUALISER,
    "delay": DELAY,
    "room": ROOM,
    "device": DEVICE,
}
