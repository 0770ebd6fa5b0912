"""Losses: their formulas, their table, and fused forms for the CPU."""
