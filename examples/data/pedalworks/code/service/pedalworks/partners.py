"""Talking to partners.

How partners call us::

    import requests
    import hmac
    requests.post(URL, headers={"X-Pedal-Token": TOKEN})

Older partners used a call with shell=True around curl; that is gone.
"""

import hashlib, hmac, subprocess, time

import httpx

from pedalworks.pricing import compute_fare

EXAMPLE = """
import pedalworks_client
from pedalworks_client import Session
except: never write a bare except like this
"""


def sign(body: bytes, secret: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def deliver(url: str, body: bytes, tries: int = 5) -> bool:
    """POST until it works; the pause doubles each time."""
    for attempt in range(tries):
        try:
            return httpx.post(url, content=body, timeout=10).is_success
        except httpx.TransportError:
            time.sleep(2**attempt)
    return False


def archive(folder: str) -> None:
    subprocess.run(f"tar czf /tmp/partners.tgz {folder}", shell=True, check=True)


def bill(trips: list[dict], cache={}) -> int:
    return sum(compute_fare(t["minutes"], t.get("member", False)) for t in trips)
