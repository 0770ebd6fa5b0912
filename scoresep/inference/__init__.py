"""Using a trained model on music: audio to stems, audio to MIDI, in memory that does not grow with the length."""
