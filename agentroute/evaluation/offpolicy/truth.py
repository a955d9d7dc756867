"""What each choice on a logged row is worth, where only one outcome of the row is known.

The doubly robust value of arm a on row t (Dudik, Langford and Li 2011),

    v_ta = q(x_t, a) + 1{a = a_t} (r_t - q(x_t, a_t)) / p_t,

has the arm's expected reward as its mean, so that the mean of v over the choices of a policy
estimates the policy's value as if every outcome were known. A single v may leave [0, 1].
"""

from __future__ import annotations

import numpy as np

from agentroute.evaluation.offpolicy.estimators import LoggedRows, direct_model
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.model.arrays import F64, Ints


def truth_of(table: OutcomeTable, rows: Ints) -> F64:
    """(k, n) what each arm is worth on ``rows``: the scores, or of a partial table the v above.

    NaN for who could not have been chosen; ``q`` is cross-fitted by required skills and features.
    """
    scores = table.scores[rows]
    if table.propensity is None:
        return scores
    possible = table.propensity[rows] > 0
    p = np.where(possible, table.propensity[rows], 0.0)
    at, chosen = np.arange(len(rows)), np.nan_to_num(scores, nan=-1.0).argmax(axis=1)
    reward = np.nan_to_num(scores[at, chosen])
    logged = LoggedRows(chosen, p[at, chosen], reward, p, p, [_group(table, i) for i in rows])
    value = direct_model(logged)
    judged = ~table.abstain[rows] & (p[at, chosen] > 0)
    own = value[at, chosen]
    value[at, chosen] += np.where(
        judged, (reward - own) / np.where(judged, p[at, chosen], 1.0), 0.0
    )
    return np.where(possible, value, np.nan)


def _group(table: OutcomeTable, i: int) -> str:
    task = table.tasks[i]
    return repr((sorted(task.skills), sorted(task.features.items())))
