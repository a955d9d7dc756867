"""One BLAS thread round the kernels of the decision path, whatever the process uses elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Pool = tuple[Callable[[], int], Callable[[int], object]]  # how many threads; set them


@lru_cache(maxsize=1)
def _pools() -> tuple[Pool, ...]:
    from threadpoolctl import ThreadpoolController

    return tuple(map(_pool, ThreadpoolController().select(user_api="blas").lib_controllers))


def _pool(lib: Any) -> Pool:
    """The library's own functions where it exports OpenBLAS's names: a fifth of the wrapper's time.

    ``threadpoolctl`` looks the symbol up and checks the current thread at each call.
    """
    prefix, suffix = getattr(lib, "_symbol_prefix", ""), getattr(lib, "_symbol_suffix", "")
    get = getattr(lib.dynlib, f"{prefix}openblas_get_num_threads{suffix}", None)
    put = getattr(lib.dynlib, f"{prefix}openblas_set_num_threads{suffix}", None)
    if get is None or put is None:
        return lib.get_num_threads, lib.set_num_threads
    return get, put


_inside = threading.local()


class one_thread:
    """Limit BLAS pools to 1 thread inside, restore them after.

    Two threads on busy cores were measured 100 times slower than one. The loaded libraries are
    found once; entering and leaving costs 1 us where the pool already has one thread, 2 us where
    it has not, and next to nothing inside another one of the same thread. Do not await inside.
    """

    __slots__ = ("_changed", "_outer")

    def __enter__(self) -> None:
        self._outer = getattr(_inside, "it", False)
        if self._outer:
            return
        _inside.it = True
        self._changed = [(put, n) for get, put in _pools() if (n := get()) != 1]
        for put, _ in self._changed:
            put(1)

    def __exit__(self, *_: object) -> None:
        if not self._outer:
            _inside.it = False
            for put, before in self._changed:
                put(before)
