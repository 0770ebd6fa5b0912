"""scoresep: music source separation that learns from scores alone.

The package mirrors the way of the data:
corpora -> features -> cache -> training (models, losses) -> evaluation, inference.
"""

__version__ = "0.1.0"
