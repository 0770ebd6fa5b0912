"""Whole bands: songs in styles, with the harmony of chord charts and the playing of recorded drummers where given."""
