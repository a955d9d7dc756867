"""A user's own router, depth, refiner, planner and embedder, each through every door there is."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
import pytest

from agentroute import AgentReply, Orchestrator, Registry, Task, TaskGraph
from agentroute.cli.app import run as cli
from agentroute.config import plugins
from agentroute.config.settings import Settings
from agentroute.errors import AgentRouteError, ConfigError, PlanError, UnknownAgentError
from agentroute.features.text import HashingEncoder
from agentroute.planning.graphfile import make_plan, parse_graph

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from custom_router import RunningMean

ONE = "tasks: [{id: t, prompt: say hi, skills: [s]}]\n"


@pytest.fixture
def registry():
    made = Registry()
    for name in ("good", "bad"):

        @made.agent(name=name, skills=["s"])
        async def agent(call, name=name):
            """Says something."""
            return AgentReply(text=f"{name}: {call.task.prompt}")

    return made


@pytest.fixture
def opened(tmp_path, registry):
    def make(**options):
        options.setdefault("ledger", f"sqlite:///{tmp_path}/a.db")
        options.setdefault("embedder", "hashing")
        return Orchestrator(registry, out=tmp_path / "out", **options)

    return make


class Two:
    """A depth policy: two, where there are two."""

    name = "two"

    def how_many(self, scores, choice):
        return min(2, len(scores.mean)), "always two"


class Wordy(HashingEncoder):
    def __init__(self, dim=64):
        super().__init__(dim)
        self.id = f"wordy-{dim}"


def shout(call):
    """Joins in capital letters."""
    return " + ".join(sorted(r.text for r in call.inputs.values())).upper()


def halves(text):
    return [Task(id=f"h{i}", prompt=p, skills=("s",)) for i, p in enumerate(text.split(" and "))]


async def later(text):
    return TaskGraph(halves(text))


class Splitter:
    def __init__(self, word="and"):
        self.word = word

    def __call__(self, text):
        return [Task(id=f"p{i}", prompt=p) for i, p in enumerate(text.split(f" {self.word} "))]


# -- a router ------------------------------------------------------------------------------------


async def test_a_router_object_serves_learns_and_is_named_in_every_row(opened):
    router = RunningMean()
    async with opened(router=router, exploration=0.0) as orc:
        run = await orc.run(Task(prompt="say hi", skills=("s",)))
        (row,) = [d for d in run.decisions if d.kind == "route"]
        assert row.policy == "running_mean"
        assert re.fullmatch(r"[0-9a-f]{64}@\d+", row.policy_version)
        said = await orc.feedback(run.run_id, score=0.0, agent=row.chosen[0])
        assert said["learned"] and said["believes"] == {row.chosen[0]: 0.25}
        again = await orc.run(Task(prompt="say hi", skills=("s",)))
        assert again.decisions[-1].chosen != row.chosen  # 0.5 for whoever is unknown
        assert again.decisions[-1].policy_version.split("@")[0] == row.policy_version.split("@")[0]
    assert router.total[row.chosen[0]] == [0.0, 1.0]


@pytest.mark.parametrize("fresh", [True, False], ids=["a new object", "the same object"])
async def test_a_row_counts_once_however_often_the_ledger_is_opened(opened, fresh):
    router = RunningMean()
    async with opened(router=router) as orc:
        run = await orc.run(Task(prompt="x", skills=("s",), agent="good"))
        await orc.feedback(run.run_id, score=1.0)
        version = (await orc.route("x", skills=["s"])).policy_version
    for _ in range(3):
        router = RunningMean() if fresh else router
        async with opened(router=router) as orc:
            found = await orc.route("x", skills=["s"])
            assert router.total == {"good": [1.0, 1.0]}
            assert found.policy_version == version


def test_run_sync_twice_counts_once_too(opened):
    router = RunningMean()
    orc = opened(router=router)
    run = orc.run_sync(Task(prompt="x", skills=("s",), agent="good"))
    orc.feedback_sync(run.run_id, score=1.0)
    orc.run_sync(Task(prompt="x", skills=("s",)))
    assert router.total == {"good": [1.0, 1.0]}


async def test_a_state_that_it_came_with_stays_and_names_itself(opened):
    router = RunningMean()
    router.total = {"bad": [9.0, 9.0]}
    async with opened(router=router, exploration=0.0) as orc:
        run = await orc.run(Task(prompt="x", skills=("s",)))
        await orc.feedback(run.run_id, score=0.0)
        assert run.decisions[-1].chosen == ("bad",)
        with_state = run.decisions[-1].policy_version
    assert router.total == {"bad": [9.0, 10.0]}
    async with opened(router=RunningMean()) as orc:
        assert (await orc.route("x", skills=["s"])).policy_version[:64] != with_state[:64]


async def test_a_router_object_for_one_run(opened):
    class Other(RunningMean):
        name = "other"

    mine = Other()
    async with opened() as orc:
        plain = await orc.run(Task(prompt="x", skills=("s",)))
        own = await orc.run(Task(prompt="x", skills=("s",)), router=mine)
        await orc.feedback(own.run_id, score=1.0)
        await orc.run(Task(prompt="x", skills=("s",)), router=mine)
    assert plain.decisions[-1].policy == "default"
    assert own.decisions[-1].policy == "other"
    assert sum(n for _, n in mine.total.values()) == 1.0


async def test_one_object_learns_in_one_open_session_at_a_time(opened, tmp_path):
    router = RunningMean()
    async with opened(router=router) as orc:
        await orc.route("x", skills=["s"])
        async with opened(router=router, ledger=f"sqlite:///{tmp_path}/b.db") as other:
            with pytest.raises(ConfigError, match="already learns in another open"):
                await other.route("x", skills=["s"])
    async with opened(router=router, ledger=f"sqlite:///{tmp_path}/b.db") as other:
        await other.route("x", skills=["s"])


class Half:
    name = "half"
    taxonomy = None

    async def score(self, request): ...


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"router": Half()}, "'Half' is not a router: it lacks score, update"),
        ({"router": RunningMean}, "'RunningMean' is a class"),
        ({"depth": object()}, "is not a depth policy: it lacks name or how_many"),
        ({"depth": Two}, "'Two' is a class"),
        ({"embedder": object()}, "is not an embedder: it lacks id, dim or encode"),
        ({"embedder": Wordy}, "'Wordy' is a class"),
        ({"planner": object()}, "is not a planner"),
        ({"refine": object()}, "cannot be called"),
        ({"refine": lambda call: ""}, "a refiner needs a name"),
        ({"router": 7}, "router"),
        ({"planner": "two"}, "unknown planner 'two'"),
        ({"embedder": {"name": "hashing", "dims": 64}}, "has no parameter 'dims'"),
        ({"embedder": "os:getcwd"}, "is not an embedder"),
        ({"depth": {"name": "test_own_parts:Nothing"}}, "cannot be imported"),
    ],
)
def test_what_is_no_such_part_is_refused_while_building(opened, part, says):
    with pytest.raises(ConfigError, match=says):
        opened(**part)


# -- the others as objects -----------------------------------------------------------------------


async def test_a_depth_object(opened):
    async with opened(depth=Two(), refine=shout) as orc:
        run = await orc.run(Task(prompt="hi", skills=("s",)))
    assert sorted(run.decisions[-2].chosen) == ["bad", "good"]
    assert run.answer == "BAD: HI + GOOD: HI"


async def test_a_refiner_function_is_an_agent_with_its_own_rows(opened, registry):
    work = [Task(id="a", prompt="one", skills=("s",)), Task(id="b", prompt="two", skills=("s",))]
    async with opened(refine=shout) as orc:
        run = await orc.run(work)
        again = await orc.run(work)  # the same function is the same agent
        outcomes = orc.ledger.outcomes(run.run_id)
    assert " + " in run.answer and " + " in again.answer
    assert run.answer == run.answer.upper()
    (row,) = [d for d in run.decisions if d.kind == "refine"]
    assert row.chosen == ("shout",)
    assert "shout" in {o.agent for o in outcomes}
    assert "refine" in {s.id for s in registry["shout"].card.skills}


@pytest.mark.parametrize("planner", [halves, later, Splitter()])
async def test_a_planner_splits_words_and_is_named_in_the_plans_row(opened, planner):
    async with opened(planner=planner, refine=shout) as orc:
        assert len(orc.plan("say hi and say bye").tasks) == 2
        run = await orc.run("say hi and say bye")
        one = await orc.run(Task(prompt="say hi and say bye", skills=("s",)))
    assert {d.policy for d in run.decisions if d.kind == "plan"} == {
        getattr(planner, "__name__", "Splitter")
    }
    assert len([d for d in run.decisions if d.kind == "route"]) == 2
    assert len([d for d in one.decisions if d.kind == "route"]) == 1


@pytest.mark.parametrize("planner", [lambda t: 1 / 0, lambda t: 7, lambda t: [t]])
async def test_a_planner_that_fails_is_a_typed_error_before_anybody_is_called(opened, planner):
    async with opened(planner=planner) as orc:
        with pytest.raises(PlanError, match="the planner '<lambda>'"):
            await orc.run("say hi")
        assert orc.ledger.head()[0] == 0


async def test_an_embedder_object_is_what_routers_see(opened):
    mine = Wordy()
    async with opened(embedder=mine) as orc:
        run = await orc.run(Task(prompt="hi", skills=("s",)))
        record = orc.ledger.record(run.decisions[-1].id)
    assert record.request.candidates.cards.embedder_id == "wordy-64"
    np.testing.assert_array_equal(record.request.embedding, mine.encode(["hi"])[0])


# -- by name -------------------------------------------------------------------------------------

NAMED = {
    "router": ("agentroute.routers", "mine", RunningMean),
    "depth": ("agentroute.depths", "mine", Two),
    "refine": ("agentroute.refiners", "mine", shout),
    "planner": ("agentroute.planners", "mine", halves),
    "embedder": ("agentroute.embedders", "mine", Wordy),
}


@pytest.fixture
def importable(monkeypatch):
    """This file as a module that ``module:NAME`` finds."""
    monkeypatch.setitem(sys.modules, "my_parts", sys.modules[__name__])
    return "my_parts"


def parts_of(orc):
    parts = orc._session.parts
    return {
        "router": orc._session.policies.get(parts.router, trusted=True).router.name,
        "depth": parts.depth.name,
        "refine": parts.refine.name,
        "planner": parts.planner.name,
        "embedder": parts.embedder.id,
    }


WANTED = {"router": "running_mean", "depth": "two", "refine": "shout", "embedder": "wordy-64"}


@pytest.mark.parametrize("field", sorted(NAMED))
async def test_module_and_name_in_the_users_own_settings(tmp_path, registry, importable, field):
    target = f"{importable}:{NAMED[field][2].__name__}"
    settings = Settings(**{field: target}, db=f"sqlite:///{tmp_path}/a.db")
    found = parts_of(Orchestrator.from_settings(settings, registry=registry))
    assert found[field] == WANTED.get(field, target)


@pytest.mark.parametrize("field", sorted(NAMED))
def test_an_installed_distribution_names_one(monkeypatch, tmp_path, registry, importable, field):
    group, name, part = NAMED[field]
    point = EntryPoint(name, f"{importable}:{part.__name__}", group)
    real = entry_points

    def more(group):
        return [*real(group=group), *([point] if point.group == group else [])]

    monkeypatch.setattr(plugins, "points_of", more)
    settings = Settings(**{field: "mine"}, db=f"sqlite:///{tmp_path}/a.db")
    found = parts_of(Orchestrator.from_settings(settings, registry=registry))
    assert found[field] == WANTED.get(field, "mine")
    taken = EntryPoint("fixed", f"{importable}:Two", "agentroute.depths")
    monkeypatch.setattr(plugins, "points_of", lambda group: [taken, *real(group=group)])
    with pytest.raises(ConfigError, match="names the depth policy 'fixed', which ships"):
        Orchestrator.from_settings(Settings(depth="two"), registry=registry)


def test_parameters_reach_what_is_named(tmp_path, registry, importable):
    settings = Settings(
        embedder={"name": f"{importable}:Wordy", "dim": 128},
        planner={"name": f"{importable}:Splitter", "word": "then"},
        db=f"sqlite:///{tmp_path}/a.db",
    )
    orc = Orchestrator.from_settings(settings, registry=registry)
    assert orc._session.embedder.id == "wordy-128"
    assert [t.prompt for t in orc.plan("a then b").tasks] == ["a", "b"]


@pytest.mark.parametrize("field", ["router", "depth", "refine"])
async def test_a_graph_names_no_code(opened, importable, field):
    text = ONE + f"{field}: {{name: '{importable}:{NAMED[field][2].__name__}'}}\n"
    refused = UnknownAgentError if field == "refine" else ConfigError
    async with opened() as orc:
        with pytest.raises(refused) as e:
            await orc.run(make_plan(parse_graph(text)))
        assert isinstance(e.value, AgentRouteError)
    async with opened(**{field: f"{importable}:{NAMED[field][2].__name__}"}) as orc:
        await orc.run(make_plan(parse_graph(ONE)))
    for unknown in ("planner", "embedder"):
        with pytest.raises(ConfigError, match=unknown):
            parse_graph(ONE + f"{unknown}: '{importable}:halves'\n")


@pytest.mark.parametrize("command", [["run", "say hi"], ["stats"], ["pheromone", "show"]])
def test_every_command_takes_the_parts_of_the_settings(
    tmp_path, monkeypatch, capsys, importable, command
):
    lines = [f"{k}: {importable}:{NAMED[k][2].__name__}" for k in ("router", "depth", "embedder")]
    (tmp_path / "agentroute.yaml").write_text("\n".join(lines))
    (tmp_path / "agents").mkdir()
    card = "name: one\ndescription: says hi\nentrypoint: one.py:agent\n"
    (tmp_path / "agents/one.yaml").write_text(card)
    (tmp_path / "agents/one.py").write_text("def agent(call):\n    return 'hi'\n")
    monkeypatch.chdir(tmp_path)
    Orchestrator.from_config().run_sync(Task(prompt="say hi", agent="one"))
    assert cli(command) == 0, capsys.readouterr().err
