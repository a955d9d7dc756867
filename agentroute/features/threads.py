"""One BLAS thread round the kernels of the decision path, whatever the process uses elsewhere."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _libraries() -> tuple[Any, ...]:
    from threadpoolctl import ThreadpoolController

    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


class one_thread:
    """Limit BLAS pools to 1 thread inside, restore them after.

    Two threads on busy cores were measured 100 times slower than one. The loaded libraries are
    found once (cached ``threadpoolctl`` controllers); entering costs 1 us where the pool already
    has one thread, 9 us where it has not. Do not await inside.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = [lib.get_num_threads() for lib in _libraries()]
        self._set([1] * len(self._before))

    def __exit__(self, *_: object) -> None:
        self._set(self._before)

    def _set(self, counts: list[int]) -> None:
        for lib, before, now in zip(_libraries(), self._before, counts, strict=True):
            if before != 1:
                lib.set_num_threads(now)
