"""Transcription: from a recording to its notes."""
