"""What the command says of a word beyond the quota of one name."""

import json


def test_a_word_beyond_the_quota_is_stored_and_said(here, cli):
    file = here / "agentroute.yaml"
    file.write_text(
        "feedback_quota: {share: 0, allowance: 1}\nrouter: {name: fixed_best, agent: one}\n"
    )
    told = []
    for name in ("user:ann", "user:mallory", "user:mallory"):
        cli("run", "shout")
        told.append(cli("feedback", "last", "--score", 1, "--source", name).out)
    assert "learned" in told[1] and "not learned" not in told[1]
    assert "stored, not learned: its source has said of them all that feedback_quota" in told[2]
    shown = json.loads(cli("config", "show", "--json").out)
    assert "feedback_quota" in json.dumps(shown)
    file.write_text("feedback_quota: null\n")
    cli("run", "shout")
    assert "not learned" not in cli("feedback", "last", "--score", 1, "--source", "user:m").out
    file.write_text("feedback_quota: {share: -1}\n")
    assert "feedback_quota.share" in cli("config", "check", code=3).err
