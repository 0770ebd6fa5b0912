"""The networks. Both take mixture magnitudes divided by the track's level (`audio.spectrogram.level_of`)."""
