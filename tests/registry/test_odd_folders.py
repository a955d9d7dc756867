"""One odd entry of a folder is left out with a reason; every other card serves."""

import os
import sys
import threading

import pytest

from agentroute.cli.app import run
from agentroute.features.text import make_embedder
from agentroute.registry.registry import Registry

CARD = "description: works\nskills: [s]\nentrypoint: {0}.py:agent\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "good.yaml").write_text(CARD.format("good"))
    (folder / "good.py").write_text("def agent(call):\n    return 'ok'\n")
    return tmp_path


def big(path):
    with path.open("wb") as f:
        f.truncate(3 * 2**30)


ODD = {
    "number.yaml": lambda p: p.write_text(CARD + "params: {a: 18446744073709551616}\n"),
    "hex.yaml": lambda p: p.write_text(CARD + "params: {a: 0xffffffffffffffff}\n"),
    "cooldown.yaml": lambda p: p.write_text(CARD + f"limits: {{cooldown_failures: {10**18}}}\n"),
    "surrogate.yaml": lambda p: p.write_text(CARD + 'params: {a: "\\ud800"}\n'),
    "dangling.yaml": lambda p: p.symlink_to("nowhere"),
    "circle.yaml": lambda p: p.symlink_to(p),
    "pipe.yaml": os.mkfifo,
    "pipe.json": os.mkfifo,
    "endless.yaml": lambda p: p.symlink_to("/dev/zero"),
    "endless.json": lambda p: p.symlink_to("/dev/zero"),
    "big.yaml": big,
    "big.json": big,
    "folder.yaml": lambda p: p.mkdir(),
    "bytes.yaml": lambda p: p.write_bytes(bytes(range(256))),
    "deep.json": lambda p: p.write_text("[" * 5_000 + "]" * 5_000),
    "loop.yaml": lambda p: p.write_text("description: x\nentrypoint: card:loop\n"),
}


def within(seconds, work):
    """What ``work`` returns, or a failure instead of a test that hangs."""
    done = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, "it hangs"
    return done[0]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
@pytest.mark.parametrize("name", ODD)
def test_an_odd_entry_is_left_out_alone(here, capsys, name):
    ODD[name](here / "agents" / name)
    assert within(20, lambda: run(["agents", "ls"])) == 0
    said = capsys.readouterr()
    assert name in said.err
    assert "card left out" in said.err
    assert "good" in said.out
    assert within(20, lambda: run(["agents", "check"])) == 3
    registry = within(20, lambda: Registry.from_folder(here / "agents"))
    assert list(registry.entries) == ["good"]
    registry.cardset(make_embedder("hashing"))


def test_a_run_goes_on_beside_all_of_them(here, capsys):
    for name, make in ODD.items():
        make(here / "agents" / name)
    graph = here / "g.yaml"
    graph.write_text("tasks: [{id: a, prompt: x, skills: [s], agent: good}]\n")
    assert within(60, lambda: run(["run", str(graph)])) == 0
    assert capsys.readouterr().out.startswith("ok")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
@pytest.mark.parametrize("make", [ODD["dangling.yaml"], os.mkfifo, ODD["endless.yaml"]])
def test_an_odd_graph_is_left_out_alone(here, capsys, make):
    (here / "graphs").mkdir()
    make(here / "graphs" / "odd.yaml")
    assert within(20, lambda: run(["graphs", "ls"])) == 0
    assert "odd.yaml" in capsys.readouterr().err


def test_a_circle_of_cards_is_left_out_and_a_chain_is_not(here):
    for a, b in (("a", "b"), ("b", "c"), ("c", "a"), ("leads_in", "a"), ("fine", "good")):
        text = f"description: x\nentrypoint: card:{b}\n"
        (here / "agents" / f"{a}.yaml").write_text(text)
    registry = Registry.from_folder(here / "agents")
    assert list(registry.entries) == ["fine", "good"]
    assert "a -> b -> c -> a" in str(registry.problems[0])


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"rnodel": "", "model": ""}, "'model' and 'rnodel' look alike"),
        ({"Billing": "", "billing_": ""}, "'Billing' and 'billing_' look alike"),
        ({"pay1": "", "payl": ""}, "'pay1' and 'payl' look alike"),
        ({"x": "entrypoint: card:nobody\n"}, "'x' refers to card:nobody"),
        ({"refiner": "skills: [refine]\n"}, "'refiner' of ./agents stands for the bundled refiner"),
        ({"verify_answers": ""}, "'verify_answers' of ./agents stands for the bundled verifier"),
    ],
)
def test_what_a_person_should_know_is_said(here, capsys, files, says):
    for name, more in files.items():
        (here / "agents" / f"{name}.yaml").write_text(f"name: {name}\ndescription: x\n{more}")
    for command, code in (("ls", 0), ("check", 0)):
        assert run(["agents", command]) == code
        assert says in capsys.readouterr().err


def test_links_out_of_the_folder_are_said(here, capsys):
    (here / "elsewhere.py").write_text("def agent(call):\n    return 'x'\n")
    (here / "agents" / "linked.yaml").write_text(CARD.format("linked"))
    (here / "agents" / "linked.py").symlink_to(here / "elsewhere.py")
    run(["agents", "check"])
    assert f"the code of 'linked' is a link to {here / 'elsewhere.py'}" in capsys.readouterr().err


def test_the_shipped_catalogue_calls_for_no_remark(here, capsys):
    assert run(["agents", "check"]) == 0
    assert "note:" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a\n", "a ", " a", "", "a" * 121])
def test_a_name_is_plain_to_its_end(name):
    from agentroute.model.cards import CapabilityCard

    with pytest.raises(ValueError, match="letters"):
        CapabilityCard(name=name, description="x")
