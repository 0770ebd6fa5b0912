"""Networks: what they must offer (`base`), the table of those there are (`networks`), and a model of two in a file.

`base` and `networks` are what a new network touches; everything else in scoresep knows networks through them alone.
Networks take mixture magnitudes divided by the track's level (`audio.spectrogram.level_of`).
"""
