"""Effects: a kind is a function pair in a file, and a row of `EFFECTS`; who goes through which is said in `chain`."""

from __future__ import annotations

from scoresep.rendering.effects.drive import AMPLIFIER, SATURATION
from scoresep.rendering.effects.dynamics import COMPRESSOR
from scoresep.rendering.effects.effect import Effect
from scoresep.rendering.effects.equaliser import EQUALISER
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
