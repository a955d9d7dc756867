"""One BLAS thread round the kernels of the decision path, whatever the process uses elsewhere."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _libraries() -> tuple[Any, ...]:
    from threadpoolctl import ThreadpoolController

    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


_inside = threading.local()


class one_thread:
    """Limit BLAS pools to 1 thread inside, restore them after.

    Two threads on busy cores were measured 100 times slower than one. The loaded libraries are
    found once (cached ``threadpoolctl`` controllers); entering costs 1 us where the pool already
    has one thread, 9 us where it has not, and next to nothing inside another one of the same
    thread. Do not await inside.
    """

    __slots__ = ("_before", "_outer")

    def __enter__(self) -> None:
        self._outer = getattr(_inside, "it", False)
        if self._outer:
            return
        _inside.it = True
        self._before = [lib.get_num_threads() for lib in _libraries()]
        self._set([1] * len(self._before))

    def __exit__(self, *_: object) -> None:
        if not self._outer:
            _inside.it = False
            self._set(self._before)

    def _set(self, counts: list[int]) -> None:
        for lib, before, now in zip(_libraries(), self._before, counts, strict=True):
            if before != 1:
                lib.set_num_threads(now)
