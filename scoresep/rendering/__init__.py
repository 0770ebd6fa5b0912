"""Making a corpus in Slakh's layout.

`composer` or `midi_songs` (users' MIDI files) give songs: parts without sound. `sounds` gathers what can play them:
patches of the `sources` (SoundFonts, SFZ files in folders, voices), from `pools` that keep some of them for test songs,
and impulse responses. `casting` draws who plays what; `effects` treat the stems; `track` writes one song's folder;
`render` does all of it, as `settings` say.

A new kind of source is a file and a row of `sources.SOURCES`; an effect is a row of `effects.EFFECTS`, an instrument of
`composer.compose.PLAYERS`, a style of bands of `composer.styles.STYLES`.
"""
