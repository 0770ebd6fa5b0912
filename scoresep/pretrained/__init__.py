"""The model that comes with scoresep, with its card beside it. `pipelines/shipped` makes it."""

from __future__ import annotations

from pathlib import Path

MODEL = Path(__file__).with_name("model.pt")
"""A checkpoint with weights of eight bits (`models.compact`)."""
CARD = Path(__file__).with_name("card.md")
"""What it was trained on, what it reaches and what it is not good at."""
