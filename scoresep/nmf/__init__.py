"""Score-informed non-negative matrix factorisation of mixtures."""

from scoresep.nmf.components import ATTACK, FREE, FactoriseSettings
from scoresep.nmf.factorisation import Factors, ScoredMixture, factorise, masks

__all__ = ["ATTACK", "FREE", "FactoriseSettings", "Factors", "ScoredMixture", "factorise", "masks"]
