"""The text of the views. They read rows as they are; two small tables hold what SQL cannot see.

Candidates are packed arrays and names of a card set, which SQL cannot read: ``shown_candidates``
repeats them a row each, up to the decision in ``shown_upto``. ``shown_weights`` has the weight of
each kind of source, for the quality that was learned. Nothing of this is part of the chain: it can
be dropped and made again at any time.

Quality is what the routers learned of a call: 0 where it failed, else the first word of each kind
of source on the decision, else on its run, weighed by kind. Shadow calls cost, and are not judged.
"""

from __future__ import annotations

HELPERS = """
CREATE TABLE IF NOT EXISTS shown_candidates (
  seq INTEGER NOT NULL, place INTEGER NOT NULL, agent TEXT NOT NULL, mean FLOAT, bonus FLOAT,
  propensity FLOAT, cost_usd FLOAT, latency_s FLOAT, PRIMARY KEY (seq, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shown_upto (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER);
CREATE TABLE IF NOT EXISTS shown_weights (kind TEXT PRIMARY KEY, weight FLOAT NOT NULL)
"""
TABLES = ("shown_candidates", "shown_upto", "shown_weights")

_RUNS = """
SELECT s.run_id, s.at AS started_at, f.at AS finished_at,
  coalesce(json_extract(CAST(f.body AS TEXT), '$.data.status'), 'unfinished') AS status,
  json_extract(CAST(s.body AS TEXT), '$.data.name') AS graph,
  json_extract(CAST(s.body AS TEXT), '$.data.topology') AS topology,
  json_extract(CAST(s.body AS TEXT), '$.data.labels.user') AS user,
  json_extract(CAST(s.body AS TEXT), '$.data.labels.session') AS session,
  coalesce(json_extract(CAST(s.body AS TEXT), '$.data.labels.tags'), '[]') AS tags,
  json_extract(CAST(s.body AS TEXT), '$.data.labels.metadata') AS metadata
FROM events s LEFT JOIN events f ON f.run_id = s.run_id AND f.type = 'run.finished' AND f.seq = (
  SELECT max(g.seq) FROM events g WHERE g.run_id = s.run_id AND +g.type = 'run.finished')
WHERE s.type = 'run.started' AND s.seq = (
  SELECT min(g.seq) FROM events g WHERE g.run_id = s.run_id AND +g.type = 'run.started')
"""

# One row for each agent that a route decision chose; place 0 was chosen first.
_CHOSEN = """
SELECT d.seq, d.id AS decision_id, d.run_id, d.at, c.key AS place, c.value AS agent
FROM decisions d, json_each(CAST(d.body AS TEXT), '$.chosen') c
WHERE d.kind = 'route' AND d.packed IS NOT NULL
"""

# The first word of each kind of source on an agent's part: on the decision, else on its run.
_WORDS = """
SELECT seq, agent, kind, score FROM (
  SELECT c.seq, c.agent, w.kind, f.score, row_number() OVER (
    PARTITION BY c.seq, c.agent, w.kind ORDER BY f.target_id != c.decision_id, f.seq) AS nth
  FROM v_chosen c
  JOIN feedback f ON f.target_id IN (c.decision_id, c.run_id)
    AND (f.agent IS NULL OR f.agent = c.agent)
  JOIN shown_weights w ON w.weight > 0 AND w.kind = coalesce(
    (SELECT kind FROM shown_weights
     WHERE kind = substr(f.source, 1, instr(f.source || ':', ':') - 1)), 'user'))
WHERE nth = 1
"""

_CALLS = """
SELECT c.seq, c.decision_id, c.run_id, c.at, c.place, c.agent, o.cost_usd, o.latency_s, o.tokens,
  o.failed, json_extract(CAST(o.body AS TEXT), '$.error') AS error,
  CASE WHEN o.failed THEN 0.0 ELSE (
    SELECT sum(w.weight * v.score) / sum(w.weight)
    FROM v_words v JOIN shown_weights w ON w.kind = v.kind
    WHERE v.seq = c.seq AND v.agent = c.agent) END AS quality
FROM v_chosen c
LEFT JOIN outcomes o ON o.decision_id = c.decision_id AND o.agent = c.agent AND NOT o.shadow
"""

_DECISIONS = """
SELECT d.seq, d.id, d.at, d.run_id, r.graph, d.task_id, d.kind, d.attempt, d.policy,
  json_extract(CAST(d.body AS TEXT), '$.policy_version') AS policy_version,
  d.status, d.chosen, json_extract(CAST(d.body AS TEXT), '$.propensity') AS propensity,
  json_extract(CAST(d.body AS TEXT), '$.reason') AS reason,
  json_extract(CAST(d.body AS TEXT), '$.task.skills') AS skills,
  CAST(p.body AS TEXT) AS prompt,
  c.calls, c.failed, c.cost_usd, c.latency_s, c.tokens, c.quality
FROM decisions d
LEFT JOIN v_runs r ON r.run_id = d.run_id
LEFT JOIN blobs p ON p.sha256 = json_extract(CAST(d.body AS TEXT), '$.task.prompt')
LEFT JOIN (
  SELECT seq, count(failed) AS calls, sum(failed) AS failed, sum(cost_usd) AS cost_usd,
    max(latency_s) AS latency_s, sum(tokens) AS tokens, avg(quality) AS quality
  FROM v_calls GROUP BY seq) c ON c.seq = d.seq
"""

_CANDIDATES = """
SELECT k.seq, d.id AS decision_id, d.at, d.run_id, d.task_id, k.agent,
  EXISTS (SELECT 1 FROM v_chosen c WHERE c.seq = k.seq AND c.agent = k.agent) AS chosen,
  k.mean AS expected, k.bonus, k.mean + k.bonus AS score,
  rank() OVER (PARTITION BY k.seq ORDER BY k.mean + k.bonus DESC NULLS LAST) AS place,
  k.propensity, k.cost_usd AS expected_cost_usd, k.latency_s AS expected_latency_s
FROM shown_candidates k JOIN decisions d ON d.seq = k.seq
"""

# Explored: the draw went to one whose score was not (within 1e-6) the highest.
_EXPLORED = """
SELECT c.seq, k.mean + k.bonus < max(b.mean + b.bonus) - 1e-6 AS explored
FROM v_chosen c
JOIN shown_candidates k ON k.seq = c.seq AND k.agent = c.agent AND c.place = 0
JOIN shown_candidates b ON b.seq = c.seq
GROUP BY c.seq HAVING max(b.mean IS NOT NULL)
"""

_LEADERBOARD = """
WITH stood AS (SELECT agent, count(*) AS stood FROM shown_candidates GROUP BY agent),
called AS MATERIALIZED (SELECT * FROM v_calls WHERE seq <= (SELECT seq FROM shown_upto)),
drawn AS MATERIALIZED (SELECT * FROM v_explored),
did AS (
  SELECT c.agent, count(*) AS chosen, avg(e.explored) AS explored, count(c.failed) AS calls,
    avg(c.failed) AS failed, count(c.quality) AS judged, round(avg(c.quality), 12) AS quality,
    round(sum(c.cost_usd), 12) AS cost_usd, round(avg(c.latency_s), 12) AS latency_s,
    max(c.at) AS last_chosen
  FROM called c LEFT JOIN drawn e ON e.seq = c.seq GROUP BY c.agent)
SELECT coalesce(s.agent, d.agent) AS agent, coalesce(d.chosen, 0) AS chosen,
  coalesce(s.stood, 0) AS stood, CAST(d.chosen AS FLOAT) / s.stood AS win_rate,
  d.explored, coalesce(d.calls, 0) AS calls, d.failed, coalesce(d.judged, 0) AS judged, d.quality,
  coalesce(d.cost_usd, 0.0) AS cost_usd, d.latency_s, d.last_chosen
FROM stood s LEFT JOIN did d ON d.agent = s.agent
"""

_CURVE = """
SELECT row_number() OVER w AS n, d.seq, d.at, d.run_id, d.graph, d.task_id, d.policy, d.chosen,
  d.propensity, d.quality, avg(d.quality) OVER w AS mean_so_far,
  avg(d.quality) OVER (w ROWS 49 PRECEDING) AS mean_of_last_50
FROM v_decisions d WHERE d.quality IS NOT NULL
WINDOW w AS (ORDER BY d.seq)
"""

_COSTS = """
SELECT substr(o.at, 1, 10) AS day, d.run_id, r.graph, r.user, r.session, d.task_id, d.kind,
  o.agent, o.shadow, count(*) AS calls, sum(o.failed) AS failed, sum(o.tokens) AS tokens,
  sum(o.cost_usd) AS cost_usd, sum(o.latency_s) AS latency_s
FROM outcomes o JOIN decisions d ON d.id = o.decision_id LEFT JOIN v_runs r ON r.run_id = d.run_id
GROUP BY day, d.run_id, d.task_id, d.kind, o.agent, o.shadow
"""

VIEWS = {
    "v_runs": _RUNS,
    "v_chosen": _CHOSEN,
    "v_words": _WORDS,
    "v_calls": _CALLS,
    "v_decisions": _DECISIONS,
    "v_candidates": _CANDIDATES,
    "v_explored": _EXPLORED,
    "v_leaderboard": _LEADERBOARD,
    "v_learning_curve": _CURVE,
    "v_costs": _COSTS,
}
