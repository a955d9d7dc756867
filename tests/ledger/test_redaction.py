from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.ledger.rows.redaction import PATTERNS, redact, redact_bytes, redact_json
from agentroute.model.events import Note
from agentroute.model.outcomes import Outcome
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
    "assigned-secret": 'password = "correct horse"'.replace(" horse", "-horse"),
}
HARMLESS = (
    "The weather is right; the English team weighs capital 12345678901234567890.",
    "d41d8cd98f00b204e9800998ecf8427e e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852",
    "01973c2e-7d3a-7c4e-9c2b-5d1f2a3b4c5d https://example.org/a/b?c=d mail me@example.org",
    "risk-free tasks, a desk-top, the passwords of the past, a secret garden, basic training",
)


def test_there_is_an_example_of_every_kind():
    assert set(SECRETS) == set(PATTERNS) and len(PATTERNS) >= 15


@pytest.mark.parametrize("kind", SECRETS)
def test_each_kind_is_found_inside_prose(kind):
    secret = SECRETS[kind]
    got = redact(f"before {secret} after")
    assert f"[redacted:{kind}]" in got
    assert got.startswith("before ") and got.endswith(" after")
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
    from dataclasses import replace

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
