"""Score check: does a stem sound as its own score says?"""

from scoresep.score_check.check import check_stem, warm_up
from scoresep.score_check.evidence import KINDS, Disagreement
from scoresep.score_check.settings import ScoreCheckSettings

__all__ = ["KINDS", "Disagreement", "ScoreCheckSettings", "check_stem", "warm_up"]
