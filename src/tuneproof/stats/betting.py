"""Is one side of a random division worse off, asked after every answer? A bet that grows when it is, and seldom else.

    harm = Harm(share=0.05, margin=0.01)
    harm.hear(True, bad=1.0)            # an answer of the new side went wrong
    harm.hear(False, bad=0.0)           # one of the old side did not
    harm.log_e >= math.log(20)          # one in twenty ever gets there when the new side is not worse by the margin

Each answer falls to the new side with probability ``share``, whatever it is about. Of the bad ones the new side then
has its share, and a bet on more of them wins nothing in the long run. The stake after answer i is

    E_i = E_(i-1) (1 + l (bad - margin))            on the new side
    E_i = E_(i-1) (1 - l bad share / (1 - share))   on the old side

whose expected factor is 1 + l share (p_new - margin - p_old): at most 1 when the new side is worse by less than the
margin. Such a stake begins at 1 and exceeds 1/a at any time with probability a at most (Ville 1939), so it may be
looked at after every answer (betting: Waudby-Smith and Ramdas 2024, J. R. Stat. Soc. B 86:1, arXiv 2010.09686). The
mean over several l is such a stake as well; each l here is the best one where the new side is ``RATIOS`` times as bad.
"""

from __future__ import annotations

import math

RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 50.0)


class Harm:
    """Evidence that the new side is worse by more than ``margin``; ``bad`` is 0, 1 or between."""

    def __init__(self, share: float, margin: float) -> None:
        assert 0 < share < 1 and 0 <= margin < 1
        self._margin = margin
        self._logs = [0.0] * len(RATIOS)
        self.divide(share)

    def divide(self, share: float) -> None:
        """From the next answer on the new side has this share; the stake stays, so its bound holds for all of them."""
        self._against = share / (1 - share)
        found = [(1 - share) * (ratio - 1) / (1 + share * (ratio - 1)) for ratio in RATIOS]
        self._bets = [min(bet, 0.5 / self._margin) if self._margin else bet for bet in found]  # no factor is 0 or less

    def hear(self, new: bool, bad: float) -> None:
        """One more answer, of the new side or of the old one."""
        gain = bad - self._margin if new else -bad * self._against
        if gain:
            self._logs = [log + math.log1p(bet * gain) for log, bet in zip(self._logs, self._bets, strict=True)]

    @property
    def log_e(self) -> float:
        """The natural logarithm of the stake, which began at 0."""
        top = max(self._logs)
        return top + math.log(sum(math.exp(log - top) for log in self._logs) / len(self._logs))


def excess(bad_new: int, new: int, bad_old: int, old: int) -> float:
    """The chance of so many of the bad ones on the new side where chance alone divided them (Fisher, one-sided)."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(bad_new - 1, new + old, bad_new + bad_old, new))
