"""The networks. Both take mixture magnitudes divided by the track's level (`features.level.level_of`)."""
