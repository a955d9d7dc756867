"""The optional half: torch and torch-geometric, imported when they are first needed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentroute.errors import MissingExtraError


@contextmanager
def one_thread(seed: int) -> Iterator[None]:
    """Torch on one thread and seeded, as it was afterwards (performance.md, section 0)."""
    torch = load_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


def load_torch() -> Any:
    """The module ``torch``, imported now.

    Raises:
        MissingExtraError: the extra ``gnn`` is not installed.
    """
    try:
        with warnings.catch_warnings():
            # torch_geometric touches deprecated parts of torch.jit when it is imported.
            warnings.simplefilter("ignore")
            import torch
            import torch_geometric.nn  # noqa: F401  the other half of the extra
    except ImportError as e:
        raise MissingExtraError("gnn", needed_for="training the router 'gnn'") from e
    return torch
