"""Where a session or a user can be said: ``route``, its command, and a host's configuration."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from agentroute import Registry
from agentroute.cli.app import app
from agentroute.errors import UsageError
from agentroute.model.runs import Labels
from tests.routers.test_sticky import NAME, TASK, opened, registry

PRIOR = {"good": 0.80, "near": 0.78}


async def kept(orc, **labels):
    """``near`` serves this session or user from now on."""
    await orc.run(TASK.model_copy(update={"agent": "near"}), **labels)


async def test_a_dry_run_of_a_session_is_what_its_run_would_choose(tmp_path):
    async with opened(tmp_path, registry(PRIOR)) as orc:
        await kept(orc, session="s1")
        found = [await orc.route(TASK, session=s) for s in ("s1", "s2", None)]
        assert [f.chosen for f in found] == [("near",), ("good",), ("good",)]
        with pytest.raises(UsageError, match="session"):
            await orc.route(TASK, session="")


@pytest.mark.parametrize("key", ["session", "user"])
def test_route_takes_a_session_and_a_user_and_records_them(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "work.py").write_text("def agent(call):\n    return 'done'\n")
    for name, prior in PRIOR.items():
        (tmp_path / "agents" / f"{name}.yaml").write_text(
            f"name: {name}\ndescription: Refunds orders, {name}.\nprior_quality: {prior}\n"
            "skills: [{id: refunds, description: refunds orders}]\nentrypoint: work.py:agent\n"
        )
    (tmp_path / "agentroute.yaml").write_text(
        f"agents: [agents]\nembedder: hashing\nexploration: 0\nrouter: {{name: '{NAME}', "
        f"inner: fixed_best, key: {key}, margin: 0.05}}\n"
    )

    async def go():
        async with opened(
            tmp_path, Registry.from_folder(tmp_path / "agents"), embedder="hashing",
            router={"name": NAME, "inner": "fixed_best", "key": key, "margin": 0.05},
        ) as orc:  # fmt: skip
            await kept(orc, **{key: "ada"})

    asyncio.run(go())

    def route(*more):
        argv = ["route", TASK.prompt, "--skill", "refunds", "--db", f"sqlite:///{tmp_path}/a.db"]
        done = CliRunner().invoke(app, [*argv, "--json", *more])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert route(f"--{key}", "ada")["chosen"] == ["near"]
    assert route(f"--{key}", "bob")["chosen"] == route()["chosen"] == ["good"]
    assert route(f"--{key}", "ada", "--record")["chosen"] == ["near"]


@pytest.mark.parametrize("sync", [False, True])
def test_a_host_graph_gives_them_by_its_configuration(tmp_path, sync):
    async def go():
        async with opened(tmp_path, registry(PRIOR)) as orc:
            await kept(orc, session="s1")
            graph, got = orc.as_graph(TASK), []
            for said in ({"session": "s1", "user": "ada"}, {"session": "s2"}, {}):
                config = {"configurable": said}
                call = asyncio.to_thread(graph.invoke, {}, config) if sync else graph.ainvoke(
                    {}, config
                )  # fmt: skip
                run_id = (await call)["run_id"]
                (row,) = [d for d in orc.ledger.decisions(run_id) if d.kind == "route"]
                assert orc.ledger.record(row.id).request.keys == Labels(**said).keys
                got.append(row.chosen)
            found = orc.ledger.runs(labels=Labels(user="ada"))
            assert len(found) == 1
            return got

    assert asyncio.run(go()) == [("near",), ("good",), ("good",)]
