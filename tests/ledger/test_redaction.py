from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.ledger import Ledger
from agentroute.ledger.rows.redaction import PATTERNS, redact, redact_bytes, redact_json
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from tests.ledger.sample import record

A = "Ab3dEf9hIjKlMn0pQrStUvWxYz12345678AbCdEfGh"
SECRETS = {
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE" + A + "\n-----END RSA PRIVATE KEY-----",
    "aws-access-key": "AKIAIOSFODNN7EXAMPLE",
    "github-token": "ghp_" + A[:36],
    "gitlab-token": "glpat-" + A[:20],
    "slack-token": "xoxb-123456789012-" + A[:24],
    "slack-webhook": "https://hooks.slack.com/services/T00000000/B00000000/" + A[:24],
    "stripe-key": "sk_live_" + A[:24],
    "model-api-key": "sk-proj-" + A,
    "google-api-key": "AIza" + A[:35],
    "hugging-face-token": "hf_" + A[:34],
    "package-token": "npm_" + A[:36],
    "sendgrid-key": "SG." + A[:22] + "." + A[:40],
    "twilio-key": "SK" + "0123456789abcdef" * 2,
    "azure-key": "AccountKey=" + A + A + "==",
    "json-web-token": "eyJ" + A[:12] + ".eyJ" + A[:16] + "." + A,
    "url-password": "postgres://app:hunter2hunter2@db.internal/x",
    "authorization": "Authorization: Bearer " + A,
    "service-token": "dop_v1_" + "0123456789abcdef" * 4,
    "cookie": "Cookie: session=" + A,
    "passphrase": "passphrase: correct-horse-battery-staple",
    "weak-name": "https://h/x?sig=" + A,
    "assigned-secret": 'password = "correct horse"'.replace(" horse", "-horse"),
}
HARMLESS = (
    "The weather is right; the English team weighs capital 12345678901234567890.",
    "d41d8cd98f00b204e9800998ecf8427e e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852",
    "01973c2e-7d3a-7c4e-9c2b-5d1f2a3b4c5d https://example.org/a/b?c=d mail me@example.org",
    "6 tokens; max_tokens=1024; token = tokens[i]; the signature f(x1) passes; a design key",
    "password = os.environ['DB'] and /home/user/project/tests/test_auth_token.py and sk-learn",
    '{"homepage": "https://shop.example", "email": "info@shop.example", "n": 1.50}',
    "risk-free tasks, a desk-top, the passwords of the past, a secret garden, basic training",
)


def test_there_is_an_example_of_every_kind():
    assert set(SECRETS) == set(PATTERNS) and len(PATTERNS) >= 15


@pytest.mark.parametrize("kind", SECRETS)
def test_each_kind_is_found_inside_prose(kind):
    secret = SECRETS[kind]
    got = redact(f"before {secret} after")
    named = "assigned-secret" if kind in ("weak-name", "passphrase") else kind
    assert f"[redacted:{named}]" in got
    assert got.startswith("before ")
    assert kind in ("cookie", "passphrase") or got.endswith(" after")
    longest = max(secret.replace('"', " ").split(), key=len)
    assert longest.rstrip("=").split("=")[-1].split("@")[0][-12:] not in got


@pytest.mark.parametrize("text", HARMLESS)
def test_prose_hashes_and_ids_pass(text):
    assert redact(text) == text


@given(st.text(max_size=300))
def test_redaction_is_idempotent(text):
    once = redact(text)
    assert redact(once) == once


def test_json_and_bytes():
    key = SECRETS["github-token"]
    got = redact_json({"a": [key, 1, None, {key: 2.5}], "b": True})
    mask = "[redacted:github-token]"
    assert got == {"a": [mask, 1, None, {mask: 2.5}], "b": True}
    assert redact_bytes(f"x {key}".encode()) == f"x {mask}".encode()
    assert redact_bytes(b"\xff\x00" + key.encode()) == b"\xff\x00" + key.encode()


def test_no_planted_secret_reaches_the_file(ledger):
    key = SECRETS["model-api-key"]
    rec = record(0)
    task = rec.request.task.model_copy(
        update={"prompt": f"use {key}", "features": {"k": key}, "params": {"p": [key]}}
    )
    decision = rec.decision.model_copy(update={"reason": key})
    request = replace(rec.request, task=task, recorded=key.encode())
    scores = replace(rec.scores, reason=key, evidence=key.encode())
    ledger.append(
        replace(rec, decision=decision, request=request, scores=scores, context={"x": {"y": key}})
    )
    ledger.append(Outcome(decision_id=decision.id, agent="a", error=f"401 for {key}"))
    ledger.append(Note(id="n", type="x", data={"url": f"https://h/?api_key={key}"}))
    sha = ledger.put_text(f"reply {key}")
    assert ledger.append(Note(id="m", type="y")).wait(5) == 4
    assert ledger.text(sha) == "reply [redacted:model-api-key]"
    ledger.close()
    files = list(ledger.path.parent.glob(ledger.path.name + "*"))
    assert files and not any(key.encode() in f.read_bytes() for f in files)


C = "c4N4ryV4lu3Xy7Qz"
CANARIES = {
    **{kind: s for kind, s in SECRETS.items() if kind != "assigned-secret"},
    "secret-key": f"SECRET_KEY={C}", "db-pass": f"DB_PASS={C}", "token": f"token={C}",
    "sig": f"https://h/x?a=1&sig={C}", "set-cookie": f"Set-Cookie: sid={C}; Path=/",
    "yaml": f"api_key: {C}", "quoted": f'curl -d "password={C}"',
    "in-json": f'{{"password": "{C}"}}',
    "in-prose": f'it says {{"client_secret": "{C}", "n": 1}} there',
    "escaped": f'{{\\"password\\": \\"{C}\\"}}', "phrase": f'passphrase: "{C} {C}"',
    "half-a-key": "-----BEGIN PRIVATE KEY-----\n" + A * 2 + "\n" + A[:7] + "=",
}  # fmt: skip
WHAT = {kind: (C if C in s else s.split("=")[-1] if kind == "cookie" else
               A if A in s else s.split("@")[0][-12:]) for kind, s in CANARIES.items()}  # fmt: skip


def shapes(secret):
    """The same secret at the start of a text, of a line, in the middle and in data."""
    return (secret, f"The config is:\n{secret}", f"a {secret}\nb", f"x\\n{secret}")


def leaks(folder, needles):
    files = [f for f in folder.rglob("*") if f.is_file()]
    stored = b"".join(f.read_bytes() for f in files)
    assert files
    return [n for n in needles if n.encode() in stored]


@pytest.mark.parametrize("kind", CANARIES)
def test_no_canary_of_any_kind_is_in_the_file_whatever_the_place(tmp_path, kind):
    with Ledger.open(f"sqlite:///{tmp_path}/a.db") as ledger:
        for i, text in enumerate(shapes(CANARIES[kind])):
            rec = record(i)
            reply = AgentReply(text=text, data={"deep": [{"note": text}]})
            task = rec.request.task.model_copy(
                update={"prompt": text, "params": {"p": [text]}, "features": {"f": text}}
            )
            rec = replace(rec, request=replace(rec.request, task=task), reasons=[text, text, text])
            sha = ledger.put_text(reply.model_dump_json())
            ledger.append(rec)
            ledger.append(Outcome(decision_id=rec.decision.id, agent="a", error=text))
            ledger.append(
                Feedback(id=f"f{i}", target="decision", target_id=rec.decision.id, score=1,
                         source="user", method=text)
            )  # fmt: skip
            ledger.append(Note(id=f"n{i}", type="x", data={"url": text})).wait(5)
            assert AgentReply.model_validate_json(ledger.text(sha)).data["deep"][0]["note"] != text
        assert leaks(tmp_path, [WHAT[kind]]) == []  # the WAL included
    assert leaks(tmp_path, [WHAT[kind]]) == []


KEYS = ("api_key", "apiKey", "X-Api-Key", "token", "access_token", "secret", "SECRET_KEY",
        "password", "DB_PASSWORD", "passphrase", "cookie", "Set-Cookie", "client_secret",
        "private_key")  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_what_stands_at_a_secret_key_is_masked_whatever_its_form(key):
    got = redact_json({"a": {key: C}, "l": {key: [C]}, "h": [{"name": key, "value": C}]})
    assert C not in str(got)
    assert C not in redact(f'{{"{key}": "{C}", "n": 1}}')


def test_data_that_is_no_secret_stays_as_it_is():
    data = {
        "homepage": "https://shop.example", "email": "info@shop.example", "n": 1,
        "tokens": 123456, "signature": "def f(x: int) -> str",
        "token": "international", "pass": "yes",
        "idempotency_key": "run:task:1", "input_tokens": 10**7, "sha256": "a" * 64,
        "key": "name", "author": "Ann B.",
        "schema": {"password": {"type": "string"}}, "monkey": "an animal with a tail",
    }  # fmt: skip
    assert redact_json(data) == data


def test_a_key_without_its_end_does_not_eat_the_rest():
    text = "-----BEGIN RSA PRIVATE KEY-----\n" + A + "\n" + A + "\nThe story goes on here."
    assert redact(text) == "[redacted:private-key]\nThe story goes on here."


def test_a_page_of_prose_passes():
    page = (Path(__file__).parents[2] / "README.md").read_text()
    assert redact(page) == page
    licence = (Path(__file__).parents[2] / "LICENSE").read_text()
    assert redact(licence) == licence


async def test_no_canary_is_stored_by_a_run_and_the_run_can_be_resumed(tmp_path):
    secret = "\n".join(CANARIES.values())
    data = {"homepage": "https://shop.example", "email": "info@shop.example", "api_key": C}

    def made():
        registry = Registry()

        @registry.agent(skills=["fetch"])
        def fetcher(call):
            "Fetches."
            return AgentReply(text=f"The config is:\n{secret}", data=data)

        @registry.agent(skills=["send"], requires_approval=True)
        def sender(call):
            "Sends."
            got.append(call.inputs["f"])
            return "sent"

        return Orchestrator(
            registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path / "out", embedder="hashing"
        )

    got = []
    tasks = [
        Task(id="f", prompt=f"fetch\n{secret}", skills=("fetch",)),
        Task(id="s", prompt="send", skills=("send",), depends_on={"f": 0.7}, params={"token": C}),
    ]
    async with made() as orc:
        first = await orc.run(tasks)
        assert leaks(tmp_path, set(WHAT.values())) == []
    async with made() as orc:
        last = await orc.run(None, resume=first.run_id, answers={"s": True})
    assert last.status == "completed"
    assert got[0].data == {**data, "api_key": "[redacted:assigned-secret]"}
    assert leaks(tmp_path, set(WHAT.values())) == []


@pytest.mark.parametrize(
    "part", ["sk-", "token-", "a_", "://", "-----BEGIN PRIVATE KEY-----\n", "eyJ."]
)
def test_text_made_to_be_slow_is_not(part):
    begun = perf_counter()
    redact("password=" + part * (200_000 // len(part)))
    assert perf_counter() - begun < 3.0  # linear: 0.1 s to 1 s; quadratic: more than a minute
