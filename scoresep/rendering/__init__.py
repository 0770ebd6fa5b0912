"""Making a corpus in Slakh's layout: `compose` or `excerpt` (users' MIDI) give songs, `render` gives them sound.

A song (`song`) is parts without sound; `patches` and `synth` play them, `tone` and `loudness` treat the stems, `track`
writes one song's folder, `settings` decides and remembers what a corpus is.
"""
