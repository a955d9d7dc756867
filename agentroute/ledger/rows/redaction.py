"""Secrets are taken out of every text before it is written: the one choke point.

Most patterns know one kind of secret by its own shape, the others by the name it is given to, so
plain prose, hashes and ids pass untouched. What was there is said by kind:
``[redacted:github-token]``. Only decoded strings are changed, so JSON stays JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

# Start of a word; also after the two characters of an escaped line break.
_B = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_STRONG = (
    r"(?:passw(?:or)?d|pwd|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|signing[_-]?key|encryption[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token"
    r"|client[_-]?secret|secret[_-]?key|[_-]pass)"
)
_WEAK = r"(?:token|sig|signature|sess(?:ion)?[_-]?id|phpsessid|jsessionid|\bpass)"
_SIGN = r"[\\\"']{0,4}\s{0,3}[:=]\s{0,3}"
_NOT = r"(?!\[redacted|\$\{|\{\{|<[\w -]+>|\*{3}|[A-Za-z_][\w.]*[(\[])"
# A weak name says little by itself: its value must look made by a machine.
_MADE = r"(?=[^\s\"']{0,80}[A-Za-z])(?=[^\s\"']{0,80}\d)[A-Za-z0-9._~+/=%-]{8,}(?![\w(\[])"

PATTERNS: dict[str, str] = {
    "private-key": (
        r"-----BEGIN (?:[A-Z0-9 ]+ )?PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:(?!-----BEGIN ).){0,16384}?-----END (?:[A-Z0-9 ]+ )?PRIVATE KEY(?: BLOCK)?-----"
        # Without an end: the lines that look like a key, and nothing after them.
        r"|(?:(?:\s|\\[nrt]|[\"'+,])*(?:[A-Za-z0-9+/=]{20,}|(?:Proc-Type|DEK-Info): [^\n\\]*))*"
        r"(?:(?:\s|\\n)(?=[A-Za-z+/]*[0-9+/=])[A-Za-z0-9+/]{1,19}={0,2}(?![^\s\\\"']))?)"
    ),
    "aws-access-key": _B + r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b",
    "github-token": _B + r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})",
    "gitlab-token": _B + r"gl(?:pat|dt|rt|cbt|ptt|ft|agent)-[\w-]{20,}",
    "slack-token": _B + r"(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,})",
    "slack-webhook": r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9_/]{20,}",
    "stripe-key": _B + r"(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}",
    "model-api-key": (
        _B + r"(?:sk-(?:ant-|proj-|or-|svcacct-)[A-Za-z0-9_-]{20,}"
        r"|sk-(?=[A-Za-z_-]{0,80}\d)[A-Za-z0-9_-]{20,}|(?:gsk_|pplx-|xai-|nvapi-|r8_)[\w-]{30,})"
    ),
    "google-api-key": _B + r"(?:AIza[\w-]{35}|GOCSPX-[\w-]{20,}|ya29\.[\w-]{20,})",
    "hugging-face-token": _B + r"hf_[A-Za-z0-9]{30,}",
    "package-token": (
        _B + r"(?:npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}|rubygems_[0-9a-f]{40,}|dckr_pat_[\w-]{20,})"
    ),
    "service-token": (
        _B + r"(?:dop_v1_[0-9a-f]{40,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|glsa_\w{32,}"
        r"|hvs\.[\w-]{24,}|dapi[0-9a-f]{32}|lin_api_\w{32,}|PMAK-[0-9a-f-]{40,}"
        r"|tskey-[\w-]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{50,}|ATATT3x[\w=-]{40,})"
    ),
    "sendgrid-key": _B + r"SG\.[\w-]{16,32}\.[\w-]{16,64}",
    "twilio-key": _B + r"SK[0-9a-f]{32}\b",
    "azure-key": r"(?<=AccountKey=)[A-Za-z0-9+/]{40,}={0,2}",
    "json-web-token": _B + r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    "url-password": r"(?<=://)[^\s/:@\"'<>,\\]{0,256}:[^\s/\"'<>\\]{1,256}(?=@)",
    "authorization": (
        r"(?i:(?<=bearer )|(?<=basic )|(?<=authorization: token ))[A-Za-z0-9._~+/=-]{16,}"
    ),
    "cookie": r"(?i:(?<=cookie: ))[\w.-]{1,80}=[^\n\"'\\]{4,}",
    "assigned-secret": (
        rf"(?i:(?P<named>{_B}[\w-]{{0,40}}{_STRONG}[\w-]{{0,20}}{_SIGN}){_NOT}"
        # The quote around a value stays, escaped or not, so that JSON in a text stays JSON.
        r"(?P<quote>\\{0,3}[\"'])?(?(quote)(?!\[redacted|\$\{|\{\{|<)"
        r"(?:(?!(?P=quote))[^\n]){4,400}(?=(?P=quote))|[^\s\"',;\\&]{8,}))"
    ),
    "passphrase": r"(?i:(?<=passphrase: )|(?<=passphrase=))(?!\[)[^\n\"',;.\\]{8,200}",
    "weak-name": (
        rf"(?i:(?P<weakly>(?:{_B}|(?<=[?&;]))[\w-]{{0,40}}{_WEAK}{_SIGN}[\\\"']{{0,4}})"
        rf"{_NOT}{_MADE})"
    ),
}

# Kinds known by a name beside them. 'passphrase' stands before what cuts at the first blank.
_NAMED_KINDS = ("authorization", "cookie", "passphrase", "assigned-secret", "weak-name")


def _any_of(kinds: Iterable[str]) -> re.Pattern[str]:
    groups = (f"(?P<{kind.replace('-', '_')}>{PATTERNS[kind]})" for kind in kinds)
    return re.compile("|".join(groups), re.DOTALL)


_BY_FORM = _any_of(k for k in PATTERNS if k not in _NAMED_KINDS)
_BY_NAME = _any_of(_NAMED_KINDS)
# Any secret above contains one of these; looking for plain substrings first is far cheaper.
_MARKS = (
    "-----BEGIN", "AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_",
    "github_pat_", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glagent-", "xox",
    "xapp-", "hooks.slack", "k_live", "k_test", "whsec_", "sk-", "gsk_", "pplx-", "xai-", "nvapi-",
    "r8_", "AIza", "GOCSPX-", "ya29.", "hf_", "npm_", "pypi-", "rubygems_", "dckr_pat_", "dop_v1_",
    "shp", "glsa_", "hvs.", "dapi", "lin_api_", "PMAK-", "tskey-", "AGE-SECRET", "ATATT3x", "SG.",
    "SK", "AccountKey=", "eyJ", "://",
)  # fmt: skip
# A name in lower case with a sign after it, or as a whole string of JSON. Passports and passengers
# are everyday words, and no name of a secret below.
_NAMES = re.compile(
    r"bearer |basic |cookie: |(?:pass(?!port|enger)|pwd|secret|key|token|credential|sig|sess"
    r"|cookie|auth|jwt)[\w-]{0,40}(?:[\\\"']{0,4}\s{0,3}[:=]|[\\\"]{1,2}\s{0,3}[,}])"
)

_STRONG_KEY = re.compile(
    r"(?:^|_)(?:passw(?:or)?ds?|pwd|passphrase|passcode|secrets?|credentials?|secret_key\w*"
    r"|secret_access_key|(?:api|access|private|signing|encryption)_?keys?|apikeys?"
    r"|(?:auth|access|refresh|bearer|id|session|csrf)_?token|authorization|(?:set_)?cookies?"
    r"|(?:db|smtp|user)_?pass)(?:_base|_value|_text)?$"
)
_WEAK_KEY = re.compile(r"(?:^|_)(?:tokens?|sig|signature|pass|auth|jwt|sess(?:ion)?_?id)$")
_MADE_VALUE = re.compile(rf"{_MADE}$|(?=.*[a-z])(?=.*[A-Z])[\w.~+/=%-]{{12,}}$|[\w-]{{24,}}$")
_PLAIN_WORDS = frozenset({"true", "false", "none", "null", "string", "required", "optional"})


SHORT = 80


def redact(text: str) -> str:
    """``text`` with each secret replaced by ``[redacted:<kind>]``; idempotent.

    A text that is a JSON object or list as a whole is redacted in its strings, also by key.
    """
    if len(text) < 8:
        return text
    return _again(text) if len(text) <= SHORT else _redacted(text)


def _redacted(text: str) -> str:
    named = _NAMES.search(text.lower()) is not None
    if not (named or _marked(text)):
        return text
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text)
            found = redact_json(value)
            return text if found == value else json.dumps(found, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # not JSON after all
    text = _BY_FORM.sub(_mask, text) if _marked(text) else text
    return _BY_NAME.sub(_mask, text) if named else text


_again = lru_cache(maxsize=4096)(_redacted)  # names, reasons and keys: the same in every row


def redact_json(value: Any, *, under: str = "") -> Any:
    """JSON-like data with every text in it redacted (keys too); other values untouched.

    ``under`` is the key that the value stands at: one such as ``api_key`` makes any text a secret.
    """
    if isinstance(value, str):
        return _at_key(value, under)
    if isinstance(value, dict):
        named = value.get("name") or value.get("key")  # as headers and variables are listed
        own = named if isinstance(named, str) and set(value) <= {"name", "key", "value"} else ""
        return {
            redact(k) if isinstance(k, str) else k: redact_json(
                v, under=own if k == "value" else k if isinstance(k, str) else ""
            )
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact_json(v, under=under) for v in value]
    if isinstance(value, int) and not isinstance(value, bool) and _strength(under) == 2:
        return "[redacted:assigned-secret]" if abs(value) > 9999 else value
    return value


def redact_bytes(data: bytes) -> bytes:
    """A recorded model reply without its secrets; bytes that are not UTF-8 pass untouched."""
    try:
        return redact(data.decode()).encode()
    except UnicodeDecodeError:
        return data


def _at_key(value: str, key: str) -> str:
    strength = _strength(key) if key else 0
    told = strength == 2 and len(value) >= 4 and value.lower() not in _PLAIN_WORDS
    made = strength == 1 and _MADE_VALUE.match(value)
    if (told or made) and not value.startswith(("[redacted:", "${", "{{", "<")):
        return "[redacted:assigned-secret]"
    return redact(value)


@lru_cache(maxsize=4096)
def _strength(key: str) -> int:
    """2 for a key that names a secret, 1 for one that may, 0 for any other."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    low = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    return 2 if _STRONG_KEY.search(low) else 1 if _WEAK_KEY.search(low) else 0


def _marked(text: str) -> bool:
    # A plain loop: this is asked of every text, and any() costs twice as much.
    for mark in _MARKS:  # noqa: SIM110
        if mark in text:
            return True
    return False


def _mask(match: re.Match[str]) -> str:
    groups = match.groupdict()
    kept = [groups.pop(name, None) or "" for name in ("named", "quote", "weakly")]
    kind = next(k for k, found in groups.items() if found is not None).replace("_", "-")
    kind = "assigned-secret" if kind in ("weak-name", "passphrase") else kind
    return f"{''.join(kept)}[redacted:{kind}]"
