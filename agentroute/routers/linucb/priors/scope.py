"""Whether anybody speaks of a prompt at all: by what cards claim, and by what was done well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64, Ints
from agentroute.model.candidates import Candidates, Request
from agentroute.routers.linucb.priors.sayings import CardWords

CLAIM, LOOSE, SURE = 0.31, 0.15, 0.01
LEAST, MEMORY, PROVEN = 1_000.0, 2_000.0, 20.0
FAR, LOW = 2.0, -0.2


class Scope:
    """out_of_scope = 1/2 - margin / (2 CLAIM), cut to [0, 1], by the largest margin of anybody.

    ``fit_a`` is how near a prompt is to what agent a says of itself and did well. A card that
    gives examples says what it is for: its margin is fit_a - ``CLAIM``. One without delimits
    nothing; beside such that do, its margin is fit_a - ``LOOSE``, and at least ``SURE`` where it
    shares a word with the prompt. Where no candidate gives examples, nobody is refused.

    Once ``LEAST`` successes were seen, the agents with ``PROVEN`` of them are judged together by
    what they did. With z the largest of their fits, in deviations from the mean of the last
    ``MEMORY`` or so fits at which anybody succeeded, and with quality q and words w of the one
    expected to be best, the margin is the larger of (z + FAR) / 6 and z / 6 + q + w / 2 - LOW: a
    prompt is refused that is far from all that went well, and is not expected to go well either.
    So hard work near what they do is never refused, and neither is what they do well far off.

    The constants were chosen on train rows of clinc150 and on the questions of ``pedalworks``.
    """

    def __init__(self) -> None:
        self.sums: F64 = np.zeros(3)  # weight, fit, fit squared

    def fold(self, fit: float, weight: float) -> None:
        """A success, to the extent of ``weight`` > 0, at this fit."""
        self.sums *= 1.0 - min(1.0, weight) / MEMORY
        self.sums += weight * np.array([1.0, fit, fit * fit])

    def out_of_scope(
        self, request: Request, fit: F64, words: F64 | None, quality: F64, proof: F64
    ) -> float:
        """In [0, 1], at 0.5 and above nobody should be called; arguments (n,), by candidate.

        ``words`` as of ``Lexicon``, None for zeros; ``quality`` expected; ``proof`` successes.
        """
        learned = self.sums[0] >= LEAST
        proven = proof >= PROVEN if learned else np.zeros(len(fit), bool)
        margins = [] if proven.all() else _by_cards(request, fit, ~proven, proven.any())
        if proven.any():
            at = np.flatnonzero(proven)
            best = int(at[quality[at].argmax()])
            said = float(quality[best]) + (0.0 if words is None else 0.5 * float(words[best]))
            margins.append(self._by_successes(float(fit[at].max()), said))
        if not margins:
            return 0.0
        return min(max(0.5 - max(margins) / (2.0 * CLAIM), 0.0), 1.0)

    def _by_successes(self, fit: float, said: float) -> float:
        mean, square = self.sums[1:] / self.sums[0]
        z = (fit - float(mean)) / max(float(square - mean * mean) ** 0.5, 1e-9)
        return float(max((z + FAR) / 6.0, z / 6.0 + said - LOW))


def _by_cards(
    request: Request, fit: F64, who: NDArray[np.bool_], others: np.bool_ | bool
) -> list[float]:
    """The largest margin of the candidates ``who`` (n,); none where nothing delimits anything."""
    c, words = request.candidates, CardWords.of(request.candidates.cards)
    limited = _limited(c, words)
    if not limited.any() and not others:
        return []
    margin = fit - np.where(limited, CLAIM, LOOSE)
    loose: Ints = np.flatnonzero(who & ~limited)
    if len(loose):
        named = loose[words.naming(request.task.prompt, c.rows[loose])]
        margin[named] = np.maximum(margin[named], SURE)
    return [float(margin[who].max())]


def _limited(c: Candidates, words: CardWords) -> NDArray[np.bool_]:
    return np.where(c.rows >= 0, words.limited[c.rows], False)
