"""Masks that a score gives: where an instrument can sound."""
