"""The exact width of a DAG: the largest set of tasks of which none waits for another."""

from __future__ import annotations

from agentroute.model.tasks import TaskGraph


def exact_width(graph: TaskGraph) -> int:
    """|V| minus a maximum matching of the transitive closure (Dilworth; Fulkerson 1956).

    Reachability and free partners are bit sets in Python integers; augmenting paths as in
    Kuhn's algorithm, O(V) of them, O(V) word operations each step. Meant for |V| <= 200.
    """
    below = _reach(graph)
    n = len(below)
    partner = [-1] * n  # of the right-hand copy of each vertex

    for u in range(n):
        _augment(u, below, partner)
    return n - sum(p >= 0 for p in partner)


def implied_edges(graph: TaskGraph) -> tuple[tuple[str, str], ...]:
    """Edges ``(input, task)`` that are not in the transitive reduction: a longer path implies them.

    An edge u -> v goes where v also waits for another task that waits for u. O(V + E) word
    operations on bit sets of V bits. Meant for |V| <= 200.
    """
    above = [0] * len(graph)
    found = []
    for i, parents in enumerate(graph.inputs):
        farther = direct = 0
        for u in parents:
            farther |= above[u]
            direct |= 1 << u
        found += [(graph.order[u], graph.order[i]) for u in parents if farther >> u & 1]
        above[i] = farther | direct
    return tuple(found)


def _reach(graph: TaskGraph) -> list[int]:
    """For each vertex, by place in topological order, the bit set of all that wait for it."""
    place = {v: i for i, v in enumerate(graph.order)}
    below = [0] * len(place)
    for v in reversed(graph.order):
        for u in graph.parents(v):
            below[place[u]] |= below[place[v]] | (1 << place[v])
    return below


def _augment(root: int, below: list[int], partner: list[int]) -> None:
    """Find an augmenting path from ``root`` breadth first, and flip it."""
    came_from: dict[int, int] = {}
    unseen = -1
    queue = [root]
    for u in queue:
        fresh = below[u] & unseen
        unseen &= ~fresh
        while fresh:
            low = fresh & -fresh
            v = low.bit_length() - 1
            fresh ^= low
            came_from[v] = u
            if partner[v] < 0:
                _flip(v, root, came_from, partner)
                return
            queue.append(partner[v])


def _flip(v: int, root: int, came_from: dict[int, int], partner: list[int]) -> None:
    left_match = {u: w for w, u in enumerate(partner) if u >= 0}
    while True:
        u = came_from[v]
        before = left_match.get(u, -1)
        partner[v] = u
        if u == root:
            return
        v = before
