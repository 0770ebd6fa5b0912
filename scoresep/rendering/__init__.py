"""Making a corpus in Slakh's layout: `compose` or `excerpt` (users' MIDI) give songs, `render` gives them sound.

A song (`song`) is parts without sound; `sources` play them, by presets (`patches`) or packs (`packs`, `casting`);
`chain` or `tone`, and `loudness` treat the stems, `track` writes one song's folder, `settings` decides and remembers
what a corpus is. A new kind of source is a file and a row of `sources.SOURCES`; of effect, of `effects.EFFECTS`.
"""
