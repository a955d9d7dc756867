"""A router that was fitted serves: trained by a command, named by its state, learning on top."""

import asyncio
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from agentroute import Orchestrator, Registry
from agentroute.choosing.catalog import make_policy
from agentroute.cli.app import run
from agentroute.errors import ConfigError, RouterStateError
from agentroute.evaluation.tables.reading import load_table
from agentroute.features.text import HashingEncoder
from agentroute.learning import StateStore
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from tests.evaluation.logging import log_decisions

TABLE = Path(__file__).parents[2] / "examples/data/coderouterbench"
QUICK = {
    "linear": "linear",
    "knn": "knn",
    "gnn": "{name: gnn, config: {hidden: 8, epochs: 2, folds: 2}}",
}
E = HashingEncoder()
EACH = pytest.mark.parametrize("name", QUICK)


def small(folder, rows=64):
    """Rows from all over the table, with its arms."""
    folder.mkdir()
    for name in ("arms.json", "meta.json"):
        (folder / name).write_text((TABLE / name).read_text())
    with gzip.open(TABLE / "outcomes.jsonl.gz", "rt") as lines:
        kept = list(lines)[:: 7080 // rows][:rows]
    (folder / "outcomes.jsonl").write_text("".join(kept))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a small table, that embeds without weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTROUTE_EMBEDDER", "hashing")
    small(tmp_path / "table")
    return tmp_path


@pytest.fixture
def cli(capsys):
    def call(*argv, code=0):
        got = run([str(a) for a in argv])
        out = capsys.readouterr()
        assert got == code, out.err or out.out
        return out

    return call


def arms():
    return [a["name"] for a in json.loads((TABLE / "arms.json").read_text())]


def registry():
    """One agent an arm of the table, called alike."""
    found = Registry()
    for name in arms():
        card = CapabilityCard(name=name, description=f"the language model {name}")
        found.add(card, lambda call, name=name: f"{name} did it")
    return found


def opened(here, spec, **more):
    return Orchestrator(
        registry(), router=spec, ledger=f"sqlite:///{here}/a.db", out=here / "out",
        embedder="hashing", state=here / "agentroute-state", **more,
    )  # fmt: skip


async def state_of(orc, spec):
    policy = orc._session.policies.get(spec)
    await policy.learned.catch_up()
    return policy.learned.version(), policy.router.state_dict()


def same(a, b):
    return (a.meta, list(a.arrays)) == (b.meta, list(b.arrays)) and all(
        x.dtype == y.dtype and x.tobytes() == y.tobytes()
        for x, y in zip(a.arrays.values(), b.arrays.values(), strict=True)
    )


@EACH
async def test_a_fitted_router_serves_learns_on_top_and_is_replayed(here, cli, name):
    made = json.loads(cli("train", QUICK[name], "table", "--name", "s", "--json").out)
    assert (made["kind"], made["rows"], made["agents"]) == (name, 64, arms())
    spec = {"name": name, "state": "s"}
    async with opened(here, spec) as orc:
        first = await orc.run("write a function that sorts a list")
        (d,) = [d for d in first.decisions if d.kind == "route"]
        assert re.fullmatch(r"[0-9a-f]{64}@\d+", d.policy_version)
        assert d.policy_version.startswith(made["sha256"])
        assert d.chosen[0] in arms()
        before = (await orc.route("write a function that sorts a list")).ranked
        told = await orc.feedback(d.id, score=0.0)
        assert told["learned"]
        after = (await orc.route("write a function that sorts a list")).ranked
        means = [{r.agent: r.mean for r in some} for some in (before, after)]
        assert means[1][d.chosen[0]] < means[0][d.chosen[0]]
        live = await state_of(orc, spec)
    async with opened(here, spec) as again:
        version, replayed = await state_of(again, spec)
    assert version == live[0]
    assert same(replayed, live[1])
    assert not same(replayed, StateStore(here / "agentroute-state").load("s").state)


@EACH
def test_a_state_is_named_on_the_command_line_in_settings_and_in_a_graph(here, cli, name):
    sha = json.loads(cli("train", QUICK[name], "table", "--json").out)["sha256"]
    spec = f"{{name: {name}, state: {name}}}"
    (here / "agents").mkdir()
    for arm in arms()[:2]:
        (here / f"agents/{arm}.yaml").write_text(
            f"name: {arm}\ndescription: codes\nskills: [code]\nentrypoint: one.py:agent\n"
        )
    (here / "agents/one.py").write_text("def agent(call):\n    return 'done'\n")
    (here / "code.yaml").write_text(
        f"name: code\nrouter: {spec}\ntasks: [{{id: a, prompt: sort it, skills: [code]}}]\n"
    )
    found = json.loads(cli("route", "sort it", "--router", spec, "--json").out)
    assert re.fullmatch(rf"{sha}@0", found["policy_version"])
    ran = json.loads(cli("run", "code.yaml", "--json").out)
    (d,) = [d for d in ran["decisions"] if d["kind"] == "route"]
    assert d["policy_version"].startswith(sha + "@")
    (here / "agentroute.yaml").write_text(f"router: {spec}\n")
    found = json.loads(cli("route", "sort it", "--skill", "code", "--json").out)
    assert found["policy_version"].startswith(sha + "@")
    assert {r["agent"] for r in found["ranked"]} == set(arms()[:2])


@pytest.mark.parametrize("name", ["linear", "gnn"])
async def test_unfitted_it_is_one_error_that_names_the_command(here, cli, name):
    out = cli("route", "x", "--router", name, code=3)
    assert len(out.err.splitlines()) == 1
    assert f"agentroute train {name} TABLE --name NAME" in out.err
    cli("run", "x", "--router", f"{{name: {name}}}", code=3)
    assert not list(here.glob("agentroute.db*"))
    with pytest.raises(ConfigError, match="before it was fitted"):
        opened(here, name)
    async with opened(here, "knn") as orc:
        with pytest.raises(ConfigError, match="before it was fitted"):
            await orc.run("x", router=name)
        assert orc.ledger.runs() == []


@pytest.mark.parametrize(
    ("spec", "code", "says"),
    [
        ("{name: knn, state: k}", 3, "did you mean 'kn'"),
        ("{name: linear, state: kn}", 3, "the state is of 'knn'"),
        ("{name: gnn, state: kn}", 3, "state of 'knn'"),
        ("{name: knn, state: ../kn}", 3, "cannot name a state"),
        ("{name: knn, state: 7}", 3, "7 is not the name of a state"),
        ("{name: knn, state: kn, q: 2}", 3, "no parameter 'q'"),
        ("{name: knn", 3, "not valid YAML"),
        ("{knn}", 3, "needs a name"),
    ],
)
def test_a_state_that_does_not_fit_is_one_line(here, cli, spec, code, says):
    cli("train", "knn", "table", "--name", "kn")
    err = cli("route", "x", "--router", spec, code=code).err
    assert says in err and len(err.splitlines()) == 1


def test_every_command_takes_a_router_with_a_state_from_the_settings(here, cli):
    cli("train", "linear", "table", "--name", "s")
    (here / "agentroute.yaml").write_text("router: {name: linear, state: s}\n")
    url = logged(here)
    helps = json.loads(cli("stats", "--db", url, "--json").out)["learning"]
    assert helps["rows"] == 160
    assert "observations folded" in cli("pheromone", "show", "--db", url).out
    out = cli("eval", "--train", "table", "--holdout", 0.5, "--router",
              "{name: linear, state: s}", code=2)  # fmt: skip
    assert "names a state" in out.err


@EACH
def test_a_state_of_other_agents_says_so_and_one_of_ours_does_not(here, cli, name):
    cli("train", QUICK[name], "table", "--name", "s")
    argv = ("route", "parse the file", "--router", f"{{name: {name}, state: s}}")
    err = cli(*argv).err
    arms = [a.name for a in load_table(here / "table").arms][:3]
    assert f"note: the state 's' was fitted on {', '.join(arms)}, ...: no agent here" in err
    assert "no agent here" not in cli("route", "parse the file").err
    (here / "agents").mkdir()
    (here / "agents/own.yaml").write_text(
        f"name: {arms[0]}\ndescription: parses\nentrypoint: own.py:agent\n"
    )
    (here / "agents/own.py").write_text("def agent(call):\n    return call.task.prompt\n")
    assert "no agent here" not in cli(*argv).err


def test_train_says_how_to_serve(here, cli):
    out = cli("train", "{name: knn, k: 5}", "table", "--name", "s").out
    spec = re.search(r"--router '(.*)', or", out)[1]
    assert spec == "{name: knn, k: 5, state: s}"
    assert cli("route", "x", "--router", spec, "--json").out


def test_a_snapshot_is_no_base(here, cli):
    cli("train", "knn", "table")
    store = StateStore(here / "agentroute-state")
    store.save("later", store.load("knn").state, base="ab", folded=9, ledger_hash="cd")
    with pytest.raises(RouterStateError, match="has folded 9 rows"):
        opened(here, {"name": "knn", "state": "later"})
    assert json.loads(cli("state", "show", "later", "--json").out)["folded"] == 9


def test_snapshots_of_learners_are_states_too(here, cli):
    cli("train", "knn", "table")
    fitted = StateStore(here / "agentroute-state").load("knn").state
    StateStore(here / "agentroute-state/snapshots").save("knn-1", fitted, folded=7)
    rows = json.loads(cli("state", "ls", "--json").out)
    assert [(r["name"], r["folded"]) for r in rows] == [("knn", 0), ("snapshots/knn-1", 7)]
    assert "folded: 7" in cli("state", "show", "snapshots/knn-1").out
    cli("state", "reset", "snapshots/knn-1")
    assert [r["name"] for r in json.loads(cli("state", "ls", "--json").out)] == ["knn"]
    assert "cannot name a state" in cli("state", "show", "other/knn-1", code=3).err


def test_another_embedder_is_refused_while_opening(here, cli, monkeypatch):
    cli("train", "knn", "table")
    with pytest.raises(RouterStateError, match="learned with the embedder 'hashing-1024'"):
        Orchestrator(registry(), router={"name": "knn", "state": "knn"})


def scrambled(folder, split):
    """The outcomes of one split turned round, in place; every third row is one of ``test``."""
    file = folder / "outcomes.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for i, row in enumerate(rows):
        row["split"] = "train" if i % 3 else "test"
        if row["split"] == split:
            row["scores"] = {arm: 1 - score for arm, score in row["scores"].items()}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.checklist("AR8")
@EACH
def test_what_the_held_out_rows_scored_changes_nothing_that_is_trained(here, cli, name):
    trained = {}
    for split in ("none", "test", "train"):
        scrambled(small(here / split), split)
        made = json.loads(cli("train", QUICK[name], split, "--json").out)
        trained[split] = made["sha256"]
        assert 0 < made["rows"] < 64
    assert trained["none"] == trained["test"] != trained["train"]


def test_the_same_table_and_seed_are_the_same_base(here, cli):
    one, two, three = (
        json.loads(cli("train", "linear", "table", "--seed", seed, "--json").out)
        for seed in (0, 0, 1)
    )
    assert (one["version"], two["version"]) == (1, 2)
    assert one["sha256"] == two["sha256"] != three["sha256"]


def test_states_are_listed_shown_rolled_back_and_reset(here, cli):
    assert json.loads(cli("state", "ls", "--json").out) == []
    cli("train", "knn", "table", "--name", "s")
    second = json.loads(cli("train", "linear", "table", "--name", "s", "--json").out)
    (row,) = json.loads(cli("state", "ls", "--json").out)
    assert (row["name"], row["version"], row["kind"]) == ("s", 2, "linear")
    shown = json.loads(cli("state", "show", "s", "--json").out)
    assert shown["sha256"] == second["sha256"] and shown["embedder"] == "hashing-1024"
    assert (shown["rows"], shown["folded"], shown["base"]) == (64, 0, "")
    assert shown["agents"] == arms() and shown["provenance"]["table"] == "coderouterbench"
    for key in ("kind", "embedder", "rows", "agents", "base", "folded"):
        assert f"{key}: " in cli("state", "show", "s").out
    assert cli("state", "show", "s", "--version", 1).out.splitlines()[2] == "kind: knn"
    assert "version 1" in cli("state", "rollback", "s").out
    assert "none before it" in cli("state", "rollback", "s", code=2).err
    cli("route", "x", "--router", "{name: knn, state: s}")
    cli("state", "rollback", "s", "--version", 2)
    assert "it has 1, 2" in cli("state", "rollback", "s", "--version", 9, code=2).err
    cli("state", "reset", "s")
    assert json.loads(cli("state", "ls", "--json").out) == []
    assert "no state is called 's'" in cli("state", "reset", "s", code=3).err
    assert cli("train", "knn", "table", "--name", "s").out.startswith("state s, version 1")
    cli("state", "reset", "s")  # twice: what was set aside stays
    assert len(list((here / "agentroute-state/.reset").iterdir())) == 2


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["linucb", "table"], 3, "learns online alone"),
        (["linaer", "table"], 3, "did you mean 'linear'"),
        (["linear", "nowhere"], 3, "is not a folder"),
        (["linear", "table", "--name", "../x"], 3, "cannot name a state"),
        (["linear", "table", "--ablate"], 2, "--ablate"),
    ],
)
def test_what_cannot_be_trained_is_one_line(here, cli, argv, code, says):
    err = cli("train", *argv, "--json", code=code).err
    assert says in err and len(err.splitlines()) == 1
    assert not (here / "agentroute-state").exists()


def logged(here, name="mine.db", rows=160, epsilon=0.5):
    """A ledger of judged decisions over rows of the whole table."""
    url = f"sqlite:///{here}/{name}"
    table = load_table(TABLE)
    policy = make_policy({"name": "knn", "exploration": epsilon}, embedder=E)
    asyncio.run(log_decisions(url, table, policy, E, range(0, 7080, 7080 // rows)[:rows]))
    return url


@EACH
def test_it_learns_from_a_ledger(here, cli, name):
    url = logged(here)
    made = json.loads(cli("train", QUICK[name], "--from-ledger", url, "--json").out)
    about = made["provenance"]
    assert made["rows"] == 160 and set(made["agents"]) == set(arms())
    assert about["ledger"]["head"] == 480 and 30 < about["effective"] < 160
    found = json.loads(cli("route", "sort it", "--router", f"{{name: {name}, state: {name}}}",
                           "--db", url, "--json").out)  # fmt: skip
    assert found["policy_version"] == f"{made['sha256']}@480"


@pytest.mark.checklist("AR9")
async def test_training_reads_answers_that_were_paid_for_and_asks_nobody(here, cli):
    registry, calls = Registry(), []
    for name in ("bo", "cy"):

        async def work(call, name=name):
            calls.append(name)
            return f"{name} did {call.task.prompt}"

        registry.agent(name=name, description=f"does the work of {name}", skills=["s"])(work)
    url = f"sqlite:///{here}/asked.db"
    async with Orchestrator(
        registry, router="uniform", ledger=url, embedder="hashing", exploration=1.0,
        out=here / "out", state=here / "agentroute-state",
    ) as orc:  # fmt: skip
        run = await orc.run(
            [Task(id=f"t{i}", prompt=f"case {i}", skills=("s",)) for i in range(40)]
        )
        for d in (d for d in run.decisions if d.kind == "route"):
            await orc.feedback(d.id, score=0.9 if d.chosen == ("bo",) else 0.2)
    asked = len(calls)
    made = [
        json.loads(cli("train", QUICK["gnn"], "--from-ledger", url, "--name", n, "--json").out)
        for n in ("one", "two")
    ]
    assert asked == len(calls) == 40 and set(made[0]["agents"]) == {"bo", "cy"}
    one, two = (StateStore(here / "agentroute-state").load(m["name"]).state for m in made)
    assert all(np.array_equal(one.arrays[k], two.arrays[k]) for k in one.arrays | two.arrays)


def test_a_ledger_too_thin_to_learn_from_is_refused_with_its_effective_size(here, cli):
    thin = logged(here, rows=40, epsilon=0.05)
    err = cli("train", "linear", "--from-ledger", thin, code=1).err
    assert re.search(r"40 judged decisions have an effective sample size of \d+\.\d, and 30", err)
    assert len(err.splitlines()) == 1 and not (here / "agentroute-state").exists()
    for argv, code in (
        (["--from-ledger", "sqlite:///nowhere.db"], 4),
        (["--from-ledger", "mine.db"], 2),
        (["table", "--from-ledger", thin], 2),
        ([], 2),
    ):
        cli("train", "linear", *argv, code=code)


def test_a_ledger_is_exported_as_a_table_that_eval_and_train_read(here, cli):
    url = logged(here)
    report = json.loads(cli("ledger", "export", "--table", "out", "--db", url, "--json").out)
    assert report["rows"] == 160 and report["left_out"] == {}
    assert "exists" in cli("ledger", "export", "--table", "out", "--db", url, code=3).err
    found = json.loads(
        cli("eval", "--train", "out", "--test", "out", "--router", "knn", "--seeds", 1,
            "--embedder", "hashing", "--json").out
    )  # fmt: skip
    assert (found["train_rows"], found["rows"]) == (128, 32)
    assert 0 < found["routers"]["knn"]["score"] < 1 and "oracle" not in found["baselines"]
    assert any("doubly robust" in note for note in found["notes"])
    assert json.loads(cli("train", "linear", "out", "--json").out)["rows"] == 128
    assert "partial table" in cli("eval", "--train", "out", "--test", "out", "--mode", "bandit",
                                  code=2).err  # fmt: skip


async def test_the_runs_of_an_orchestrator_become_a_table(here, cli):
    async with opened(here, "uniform", exploration=0.5) as orc:
        for k in range(4):
            done = await orc.run(f"write function number {k}")
            await orc.feedback(done.run_id, score=k / 4)
        await orc.run("nobody says anything of this one")
    report = json.loads(cli("ledger", "export", "--table", "out", "--db", f"sqlite:///{here}/a.db",
                            "--json").out)  # fmt: skip
    assert (report["rows"], report["left_out"]) == (4, {"not judged": 1})
    table = load_table(here / "out")
    assert np.nansum(table.scores) == 1.5
    assert table.prompts[0] == "write function number 0"
    assert (np.nansum(table.propensity, axis=1) == pytest.approx(1)) and len(table.arms) == 8


@pytest.mark.slow
@EACH
async def test_on_the_whole_table_a_fitted_router_chooses_as_it_was_fitted_to(here, cli, name):
    cli("train", name, TABLE, "--name", "s")
    async with opened(here, {"name": name, "state": "s"}) as orc:
        ranked = (await orc.route("write a function that sorts a list")).ranked
    means = {r.agent: r.mean for r in ranked}
    assert np.ptp(list(means.values())) > 0.02
