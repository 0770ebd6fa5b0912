"""Scores that are not in time with their recordings: the path between the two, and how far it can be trusted."""
