"""The attempts of one task, step by step: decide, call, settle, and decide again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from agentroute.choosing.depth.protocol import AskMore
from agentroute.errors import RoutingError
from agentroute.execution.answer.deepening import Carry, Gathered, depth_of, next_step, stepwise
from agentroute.execution.answer.refiners import Refiners
from agentroute.execution.answer.teams import join_team
from agentroute.execution.answer.unanswered import asked_of, over, unable
from agentroute.execution.calls.asking import Asking, recalled
from agentroute.execution.calls.caller import Called
from agentroute.execution.decider import Decider
from agentroute.execution.langgraph.modes import Modal, run_mode
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.ruling import Ask, Ruling
from agentroute.execution.trying.approving import Waiting, approval, too_dear
from agentroute.execution.trying.moves import PATIENCE_S, Move, context_of, first_move, next_move
from agentroute.model.calls import AgentReply, handed_over
from agentroute.model.decisions import Decision
from agentroute.registry.registry import Registry


@dataclass(frozen=True)
class Hands:
    """What the attempts of all tasks share; ``carry`` does another task, ``beside`` are shadows."""

    decider: Decider
    registry: Registry
    ask: Asking
    refiners: Refiners
    carry: Carry
    beside: set[asyncio.Task[None]] = field(default_factory=set)


class Trying:
    """One task. ``decide()`` and ``settle()`` say whether it goes on; at the end ``out`` is there.

    Whoever finished in an earlier life of the run is read and not called.
    """

    def __init__(self, hands: Hands, run: Run, work: Assignment) -> None:
        self._h, self._run, self._work = hands, run, work
        self.out: TaskOutcome | Waiting | None = None
        self._failed: list[list[Called]] = []
        self._said: list[str] = []
        self._rounds = Gathered(stepwise(run, work))
        self._barred: set[str] = set()  # cannot be asked now: breaker open, budget too small
        self._move: Move = first_move(work)
        self._attempt = work.attempt
        self._ruling: Ruling | None = None
        self._in_flight: Ruling | None = None
        self._calls: list[Called] = []
        self._first: dict[int, Called] = {}

    async def __call__(self) -> TaskOutcome | Waiting:
        """To the end: where a policy looks at the answers, as the graph of its mode."""
        try:
            if await self.decide():
                if self._rounds.depth is None:
                    await self._loop()
                else:
                    k = self._rounds.first = len(self._chosen)
                    await run_mode(Modal(self._ask_one, self._judge, self._again), k)
        finally:
            self._release()
        assert self.out is not None
        return self.out

    async def _loop(self) -> None:
        await self.ask_all()
        while await self.settle() and await self.decide():
            await self.ask_all()

    # -- decide --------------------------------------------------------------------------------

    async def decide(self) -> bool:
        """The next choice, committed; False where nobody is to be called."""
        while True:
            try:
                self._ruling = self._in_flight = await self._rule()
            except RoutingError as e:
                if not await self._instead(e):
                    return False
                continue
            return await self._may_call(self._ruling)

    async def _may_call(self, ruling: Ruling) -> bool:
        run, work, decision = self._run, self._work, ruling.decision
        run.check_rows()
        if decision.status == "abstained":
            self._said.append(f"task '{work.task.id}': nobody was called ({decision.reason})")
            return self._end(over(work, "abstained", self._failed, self._said, self._attempt,
                                  decision))  # fmt: skip
        h = self._h
        if (ask := approval(h.decider.ledger, h.registry, run, work, decision)) is not None:
            return self._end(ask)
        if (why := self._dear(ruling)) is not None:
            self._said.append(why)
            if self._rounds.replies:
                return await self._closed()
            return self._end(over(work, "failed", self._failed, self._said, self._attempt,
                                  decision))  # fmt: skip
        for agent in ruling.shadows:
            self._start_shadow(decision, agent)
        return True

    def _end(self, out: TaskOutcome | Waiting) -> bool:
        self.out = out
        return False

    @property
    def _chosen(self) -> tuple[str, ...]:
        assert self._ruling is not None
        return self._ruling.decision.chosen

    # -- call ----------------------------------------------------------------------------------

    async def ask_all(self) -> None:
        """Everybody chosen, at once."""
        self._calls = list(await asyncio.gather(*(self._called(a) for a in self._chosen)))

    async def _ask_one(self, i: int) -> None:
        self._first[i] = await self._called(self._chosen[i])

    async def _judge(self) -> bool:
        if self._first:  # in the order of the choice, whoever was quicker
            self._calls, self._first = [self._first[i] for i in sorted(self._first)], {}
        return await self.settle()

    async def _again(self) -> bool:
        if not await self.decide():
            return False
        await self.ask_all()
        return True

    async def _called(self, agent: str) -> Called:
        assert self._ruling is not None
        decision = self._ruling.decision
        done = self._run.history.outcomes(decision.id)
        if agent in done:
            return recalled(self._h.decider.ledger, done[agent])
        return await self._h.ask(self._run, self._work, decision, agent)

    # -- settle --------------------------------------------------------------------------------

    async def settle(self) -> bool:
        """What came of the calls: True where somebody is to be asked again."""
        self._release()
        work, ruling, calls = self._work, self._ruling, self._calls
        assert ruling is not None
        good = {c.agent: c.reply for c in calls if c.reply is not None}
        self._said += [
            f"task '{work.task.id}': {c.agent} failed ({c.error})" for c in calls if c.error
        ]
        self._rounds.add(ruling, good)
        if not good:
            self._failed.append(calls)
        if self._rounds.depth is not None and self._rounds.replies:
            step = await self._policy()
            if not isinstance(step, Move):
                return self._end(step)
            self._move, self._attempt = step, self._attempt + 1
            return True
        if good:
            return self._end(await self._won(ruling.decision, good))
        move = self._next()
        if move is None or not await self._may_wait(move):
            return self._end(
                over(work, "failed", self._failed, self._said, self._attempt, ruling.decision)
            )
        self._move, self._attempt = move, self._attempt + 1
        return True

    async def _policy(self) -> Move | TaskOutcome:
        """The depth policy's next step: a ``Move`` to ask more, else the task's outcome."""
        work, rounds = self._work, self._rounds
        step, more = await next_step(self._h.carry, self._h.decider, self._run, work, rounds)
        self._said += more
        if isinstance(step, AskMore):
            return Move(reason=step.reason, k=step.k)
        reply, agents = rounds.kept(step)
        said = list(self._said)
        said += [f"task '{work.task.id}': {s}" for s in (getattr(step, "short", ""),) if s]
        assert rounds.last is not None
        won = rounds.replies if reply is None else {agents[0]: reply}
        out = await self._won(rounds.last, won, said, rounds.expected)
        out = replace(out, agents=agents, tried=tuple(rounds.asked))
        return replace(out, replies=dict(rounds.replies))

    async def _closed(self) -> bool:
        """Nobody else can be asked: what is there has to do."""
        self._rounds.closed()
        out = await self._policy()
        assert not isinstance(out, Move)
        return self._end(out)

    async def _won(
        self, decision: Decision, good: dict[str, AgentReply], said: list[str] | None = None,
        expected: dict[str, float] | None = None,
    ) -> TaskOutcome:  # fmt: skip
        h, work, failed = self._h, self._work, self._failed
        said = list(self._said if said is None else said)
        reply = next(iter(good.values()))
        if len(good) > 1:
            record = h.decider.ledger.record(decision.id)
            reply, more = await join_team(
                h.carry, self._run, work, record, good, h.refiners, expected
            )
            said += more
        by = {c.agent for c in failed[-1]} if failed else set()
        if failed and decision.attempt > work.attempt and set(good) == by:
            said = []  # the same agent did it at another try: nothing is missing from the answer
        elif failed:
            said.append(f"task '{work.task.id}': {', '.join(good)} answered instead")
        said += [
            f"task '{work.task.id}': the answer of {agent} is not whole: {r.incomplete}"
            for agent, r in good.items()
            if r.incomplete
        ]
        return TaskOutcome(
            task_id=work.task.id,
            status="abstained" if reply.abstained else "ok",
            agents=tuple(good),
            tried=asked_of(failed, good),
            reply=reply,
            replies=good,
            sha=h.decider.ledger.put_text(reply.model_dump_json()),
            said=tuple(said),
            attempt=decision.attempt,
            decision_id=decision.id,
        )

    # -- parts of these ------------------------------------------------------------------------

    async def _instead(self, e: RoutingError) -> bool:
        """Nobody could be chosen: whether there is another move."""
        if self._rounds.replies:
            return await self._closed()
        move = self._other()
        if move is not None and await self._may_wait(move):
            self._move = move
            return True
        said = unable(self._work, self._said, self._failed, e)
        return self._end(over(self._work, "failed", self._failed, said, self._attempt - 1))

    def _other(self) -> Move | None:
        """Where the move's agent cannot be asked: the next move; None where nothing was tried."""
        if not self._failed:
            return None
        if self._move.only is not None:
            self._barred.add(self._move.only)
            return self._next()
        # Nobody else is there: then even a long wait for the same agent is better than nothing.
        return self._next(free=False, patience_s=float("inf"))

    def _next(self, *, free: bool = True, patience_s: float = PATIENCE_S) -> Move | None:
        work = self._work
        return next_move(
            self._failed, lambda a: self._h.registry[a].card, barred=self._barred,
            free=free and work.agent is None and work.kind == "route",
            left_s=self._run.left_s, patience_s=patience_s,
        )  # fmt: skip

    async def _may_wait(self, move: Move) -> bool:
        """Wait before the next attempt; False where the deadline would pass."""
        if move.wait_s >= self._run.left_s:
            return False
        await asyncio.sleep(move.wait_s)
        return True

    def _dear(self, ruling: Ruling) -> str | None:
        team = len(ruling.decision.chosen) > 1 or self._rounds.depth is not None
        ask = self._h.ask
        return too_dear(self._run, self._work, ruling, ask.price) if team else None

    def _release(self) -> None:
        """Whatever became of the decision, it is no longer in flight."""
        ruling, self._in_flight = self._in_flight, None
        if ruling is not None and self._work.kind == "route":
            for agent in ruling.decision.chosen:
                self._h.registry.live.settled(agent)

    async def _rule(self) -> Ruling:
        run, work, move = self._run, self._work, self._move
        if work.kind != "route":
            decision = await self._h.decider.record(
                run.history, work.kind, (move.only or "",), task_id=work.about,
                attempt=self._attempt, policy=move.policy, reason=move.reason,
                context=context_of(work),
            )  # fmt: skip
            return Ruling(decision)
        rules = run.rules
        if work.task.depth is not None:
            rules = replace(rules, depth=depth_of(work.task, rules.depth))
        ruling = await self._h.decider.route(self._asked_for(), rules, run.history)
        run.purse(work).spend(ruling.cost_usd)
        if not ruling.known:
            d = ruling.decision
            run.emit(
                "decision.made", work.task.id, ",".join(d.chosen), decision_id=d.id,
                policy=d.policy, propensity=d.propensity, status=d.status, reason=d.reason,
            )  # fmt: skip
        return ruling

    def _asked_for(self) -> Ask:
        run, work, move = self._run, self._work, self._move
        return Ask(
            task=work.task,
            attempt=self._attempt,
            upstream=work.upstream,
            given=handed_over(work.inputs),
            stage=work.stage,
            exclude=() if move.only else self._tried(),
            only=move.only,
            policy=move.policy,
            reason=move.reason,
            budget_left_usd=run.purse(work).left_usd,
            left_s=run.left_s,
            k=move.k,
            keys=run.keys,
        )

    def _tried(self) -> tuple[str, ...]:
        run, work = self._run, self._work
        before = (
            run.history.decision(work.task.id, "route", n)
            for n in range(work.attempt, self._attempt)
        )
        return (*work.exclude, *(a for d in before if d is not None for a in d.chosen))

    def _start_shadow(self, decision: Decision, agent: str) -> None:
        async def beside() -> None:
            await self._h.ask(self._run, self._work, decision, agent, shadow=True)

        task = asyncio.create_task(beside())
        self._h.beside.add(task)
        task.add_done_callback(self._h.beside.discard)
