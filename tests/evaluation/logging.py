"""A ledger as a run leaves it: rows of a table, decided by a policy, judged by the table."""

from agentroute.choosing.policy import Policy
from agentroute.evaluation.stream import Stream
from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.objective import Objective
from agentroute.model.outcomes import Feedback, Outcome


async def log_decisions(url, table, policy: Policy, embedder, rows, *, seed=0, source="user"):
    """Decide every row in turn and record what came of it; the policy learns as it goes."""
    stream = Stream(table, embedder, Objective())
    with Ledger.open(url) as ledger:
        for t, i in enumerate(rows):
            request = stream.request(int(i))
            scores, choice = await policy.choose(request, rng=keyed_rng(seed, "log", t))
            agent = str(request.candidates.names[choice.positions[0]])
            d = Decision(
                id=uuid7(), run_id=f"r{t}", task_id=request.task.id, kind="route", policy="p",
                chosen=(agent,), propensity=choice.propensity, seed=seed,
            )  # fmt: skip
            ledger.append(DecisionRecord(d, request, scores, choice.propensities))
            score = float(table.scores[i, choice.positions[0]])
            ledger.append(Outcome(decision_id=d.id, agent=agent, cost_usd=0.01, latency_s=0.5))
            ledger.append(
                Feedback(
                    id=uuid7(), target="decision", target_id=d.id, agent=agent, score=score,
                    source=source,
                )
            )  # fmt: skip
            j = choice.positions[0]
            policy.router.update(stream.observation(request, i, j, t + 1, choice.propensity))
