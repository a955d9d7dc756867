"""Nothing without a caller: what the house offers is used by it, promised, or named by an issue."""

import ast
from collections import Counter
from pathlib import Path

import agentroute
from agentroute import testing

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "agentroute"
# Called by nothing yet; each waits for the issue that wires it.
WAITING = {
    "AnswerCache": "issue 9: answers of a judge are paid for once",
    "BackgroundJudge": "issue 9: a chat judge beside the offline verifiers",
    "card_writer": "issue 9: a chat model writes a card from an agent's own words",
    "choose_quiz": "issue 9: a newcomer is asked what tells most",
    "random_quiz": "issue 9: what a chosen quiz is measured against",
    "generate_card": "issue 9: a chat model writes a card from an agent's own words",
    "with_task": "issue 9: a fitted graph network serves tasks it has not seen",
    "consistency": "issue 10: synthesis with a consistency score",
    "json_value": "issue 10: invalid typed output is asked again once",
    "make_credit": "issue 10: credit by leave-one-out and Shapley",
    "mmas_bounds": "issue 10: bounds of trails for the learned selector",
    "modal_share": "issue 10: sigma from probes",
    "model_usage": "issue 10: a router's model calls are outcomes of its decision",
    "parse_graph": "issue 10: a chat planner's DAG is validated as a graph file is",
    "recall_at": "issue 10: teams against always-all",
    "sample_path": "issue 10: paths of agents over a plan",
    "set_reward": "issue 10: off-policy estimates for teams",
    "trim": "issue 10: batches matched to many items at once",
    "confusion": "issue 11: the confusion matrix of routing tests",
    "cumulative_regret": "issue 11: whether learning helps, by day",
    "edge_row": "issue 11: pheromones in the inspector",
    "expected_calibration_error": "issue 11: doctor shows calibration",
}


def _trees(*folders):
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            yield path, ast.parse(path.read_text())


def _words(node):
    """Every name that a piece of code mentions, import targets and strings of entry points too."""
    for n in ast.walk(node):
        if isinstance(n, ast.Name):
            yield n.id
        elif isinstance(n, ast.Attribute):
            yield n.attr
        elif isinstance(n, ast.Constant) and isinstance(n.value, str) and ":" in n.value:
            yield n.value.rpartition(":")[2]


def _offered():
    for path, tree in _trees(HOUSE):
        for node in tree.body:
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_") and not _is_taken(node):
                yield path, node


def _is_taken(node):
    """A decorator (a command) or ``table=True`` (a table of the schema) hands it over."""
    if isinstance(node, ast.ClassDef):
        return any(k.arg == "table" for k in node.keywords)
    return bool(node.decorator_list)


def test_nothing_is_offered_that_nobody_calls():
    used = Counter()
    for _, tree in _trees(HOUSE, ROOT / "agents"):
        used.update(_words(tree))
    promised = {*agentroute.__all__, *testing.__all__}
    idle = {}
    for path, node in _offered():
        own = Counter(_words(node))[node.name]
        if used[node.name] <= own and node.name not in promised:
            idle[node.name] = path.relative_to(ROOT).as_posix()
    assert {name: where for name, where in idle.items() if name not in WAITING} == {}
    assert set(WAITING) <= set(idle), "what is called now leaves the list"
