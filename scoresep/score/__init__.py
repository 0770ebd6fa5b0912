"""Scores: MIDI files, their parts, piano rolls."""
