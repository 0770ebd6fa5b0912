"""Score-informed non-negative matrix factorisation of mixtures."""

from scoresep.nmf.components import ATTACK, FREE, FactoriseSettings
from scoresep.nmf.factorisation import Factors, Song, factorise, masks

__all__ = ["ATTACK", "FREE", "FactoriseSettings", "Factors", "Song", "factorise", "masks"]
