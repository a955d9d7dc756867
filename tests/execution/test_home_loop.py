"""Threads that come at once find one loop, and its end leaves no thread."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from agentroute.execution.langgraph.home_loop import HomeLoop


def test_many_threads_at_once_share_one_home():
    before = threading.active_count()
    for _ in range(20):
        home, together = HomeLoop(), threading.Barrier(8)

        async def here():
            return id(asyncio.get_running_loop())

        def call(home=home, together=together, here=here):
            together.wait()
            return home.run(here)

        with ThreadPoolExecutor(8) as pool:
            loops = {f.result(10) for f in [pool.submit(call) for _ in range(8)]}
        home.close()
        assert len(loops) == 1
    assert threading.active_count() == before
