"""Separation: from a recording to its stems."""
