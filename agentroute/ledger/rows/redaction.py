"""Secrets are taken out of every text before it is written: the one choke point.

Each pattern knows one kind of secret by its own shape, so plain prose, hashes and ids pass
untouched. What was there is said by kind: ``[redacted:github-token]``.
"""

from __future__ import annotations

import re
from typing import Any

PATTERNS: dict[str, str] = {
    "private-key": (
        r"-----BEGIN (?:[A-Z ]+ )?PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    ),
    "aws-access-key": r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b",
    "github-token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})",
    "gitlab-token": r"\bgl(?:pat|dt|rt|cbt|ptt|ft|agent)-[\w-]{20,}",
    "slack-token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "slack-webhook": r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9_/]{20,}",
    "stripe-key": r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    "model-api-key": r"\bsk-(?:ant-|proj-|or-|svcacct-)?[A-Za-z0-9_-]{20,}",
    "google-api-key": r"\bAIza[\w-]{35}",
    "hugging-face-token": r"\bhf_[A-Za-z0-9]{30,}",
    "package-token": r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,})",
    "sendgrid-key": r"\bSG\.[\w-]{16,32}\.[\w-]{16,64}",
    "twilio-key": r"\bSK[0-9a-f]{32}\b",
    "azure-key": r"(?<=AccountKey=)[A-Za-z0-9+/]{40,}={0,2}",
    "json-web-token": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    "url-password": r"(?<=://)[^\s/:@]{1,256}:[^\s/@]{1,256}(?=@)",
    "authorization": r"(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{16,}",
    "assigned-secret": (
        r"(?i:\b[\w-]{0,40}(?:passw(?:or)?d|secret|api[_-]?key|access[_-]?key|auth[_-]?token"
        r"|access[_-]?token|client[_-]?secret)[\"']?\s{0,3}[:=]\s{0,3})"
        r"(?:\"[^\"\s]{6,}\"|'[^'\s]{6,}'|[^\s\"',;]{8,})"
    ),
}

_ONE = re.compile(
    "|".join(f"(?P<{kind.replace('-', '_')}>{p})" for kind, p in PATTERNS.items()), re.DOTALL
)
# Any secret above contains one of these; looking for plain substrings first is far cheaper.
_MARKS = (
    "-----BEGIN", "AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_",
    "github_pat_", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glagent-", "xox",
    "hooks.slack", "k_live", "k_test", "sk-", "AIza", "hf_", "npm_", "pypi-", "SG.", "SK",
    "AccountKey=", "eyJ", "://",
)  # fmt: skip
_WORDS = (
    "passw", "secret", "apikey", "api_key", "api-key", "accesskey", "access_key", "access-key",
    "authtoken", "auth_token", "auth-token", "accesstoken", "access_token", "access-token",
    "bearer ", "basic ",
)  # fmt: skip


def redact(text: str) -> str:
    """``text`` with each secret replaced by ``[redacted:<kind>]``; idempotent."""
    if len(text) < 8 or not _suspicious(text):
        return text
    return _ONE.sub(_mask, text)


def redact_json(value: Any) -> Any:
    """JSON-like data with every text in it redacted (keys too); other values untouched."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(k) if isinstance(k, str) else k: redact_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_json(v) for v in value]
    return value


def redact_bytes(data: bytes) -> bytes:
    """A recorded model reply without its secrets; bytes that are not UTF-8 pass untouched."""
    try:
        return redact(data.decode()).encode()
    except UnicodeDecodeError:
        return data


def _suspicious(text: str) -> bool:
    for mark in _MARKS:  # plain loops: this is asked of every text, and any() costs twice as much
        if mark in text:
            return True
    low = text.lower()
    for word in _WORDS:  # noqa: SIM110
        if word in low:
            return True
    return False


def _mask(match: re.Match[str]) -> str:
    kind = (match.lastgroup or "secret").replace("_", "-")
    if kind == "assigned-secret":  # keep the name, take the value
        name, sign = re.match(r"(?s)(.*?[:=])", match[0]), "="
        return f"{name[1] if name else sign}[redacted:{kind}]"
    return f"[redacted:{kind}]"
