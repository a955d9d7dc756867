"""Attribute names of two vocabularies, as they stood in November 2026.

The GenAI conventions of OpenTelemetry are in development and their names still move; they are kept
here so that one file changes with them. OpenInference names the kind of a span, of which
``DECISION`` is the choice of a route over a distribution. What neither has is ``agentroute.*``.
"""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"  # invoke_workflow, plan, invoke_agent
WORKFLOW = "gen_ai.workflow.name"
CONVERSATION = "gen_ai.conversation.id"
AGENT = "gen_ai.agent.name"
EVALUATION, EVALUATION_NAME = "gen_ai.evaluation.result", "gen_ai.evaluation.name"
EVALUATION_SCORE = "gen_ai.evaluation.score.value"
ERROR = "error.type"

KIND = "openinference.span.kind"  # CHAIN, DECISION, AGENT, EVALUATOR
SYSTEM, MODEL = "decision.system", "decision.model_name"
NODE, NODE_PARENT = "graph.node.id", "graph.node.parent_id"
INPUT, INPUT_TYPE = "input.value", "input.mime_type"
OUTPUT, OUTPUT_TYPE = "output.value", "output.mime_type"
SESSION, USER, TAGS = "session.id", "user.id", "tag.tags"
JSON, TEXT = "application/json", "text/plain"

RUN, STATUS, TOPOLOGY = "agentroute.run.id", "agentroute.status", "agentroute.topology"
TASK, DECISION, DECIDED = "agentroute.task.id", "agentroute.decision.id", "agentroute.decision.kind"
ATTEMPT, PROPENSITY = "agentroute.attempt", "agentroute.propensity"
REASON, CHOSEN = "agentroute.reason", "agentroute.chosen"
COST, TOKENS, SHADOW = "agentroute.cost_usd", "agentroute.tokens", "agentroute.shadow"
