"""A task in rounds: each turn a row, each sub-query a decision; the answer says who gave what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any

from agentroute.choosing.depth.rounds.grammar import Said, broken_rules, read_turn, written
from agentroute.choosing.depth.rounds.policy import Finish, Route, Turn, Turnwise, is_turnwise
from agentroute.execution.answer.deepening import depth_of
from agentroute.execution.answer.guiding import asked_for, cited, guide_prompt, roster
from agentroute.execution.answer.refiners import citing
from agentroute.execution.decider import Decider
from agentroute.execution.langgraph.cyclic import Turning, cyclic, limit, run_cyclic, structure
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome
from agentroute.model.calls import AgentReply
from agentroute.model.decisions import Decision
from agentroute.model.tasks import Task
from agentroute.planning.planners.steps import split
from agentroute.registry.registry import Registry

Carry = Callable[[Run, Assignment], Awaitable[Any]]
MOST = 40


def turnwise(run: Run, work: Assignment) -> Turnwise | None:
    """The task's depth policy where it takes turns, and who does it is chosen freely."""
    depth = depth_of(work.task, run.rules.depth)
    free = work.kind == "route" and work.agent is None and not work.turn
    return depth if free and is_turnwise(depth) else None


def questions_of(task: Task) -> tuple[str, ...]:
    """What is to be found out: ``params.questions``, else the steps of the prompt, else all of it.

    >>> questions_of(Task(prompt="Summarise the report, then translate the summary into French"))
    ('Summarise the report', 'translate the summary into French')
    """
    given = task.params.get("questions")
    if isinstance(given, (list, tuple)) and given and all(isinstance(q, str) for q in given):
        return tuple(q for q in given[:MOST] if q.strip())
    return tuple(s.text for s in split(task.prompt)[:MOST])


@dataclass
class Taking:
    """The turns of one task; ``carry`` runs a sub-query as a task of its own."""

    carry: Carry
    decider: Decider
    registry: Registry
    run: Run
    work: Assignment
    depth: Turnwise
    turns: list[Turn] = field(default_factory=list)
    replies: dict[int, AgentReply] = field(default_factory=dict)
    decided: dict[int, TaskOutcome] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    step: Route | Finish | None = None
    waiting: Any = None

    def __post_init__(self) -> None:
        self.questions = questions_of(self.work.task)
        self.first = self.attempt = self.work.attempt

    async def __call__(self) -> Any:
        """The task's outcome, or what a human is asked for.

        Raises:
            LedgerError: a row could not be committed; nobody was called after that.
        """
        await run_cyclic(Turning(self._policy, self._agent), self.depth.max_turns)
        return self._outcome() if self.waiting is None else self.waiting

    # -- the policy's node ---------------------------------------------------------------------

    async def _policy(self) -> bool:
        """One turn of the policy, committed as a row of kind ``depth``."""
        n = self.first + len(self.turns)
        known = self.run.history.decision(self.work.task.id, "depth", n)
        if known is not None:
            self.step = self._of_row(known)
            return isinstance(self.step, Route)
        step = self.depth.turn(self.questions, tuple(self.turns))
        by, broken = "rule", ""
        if self.depth.guide is not None:
            guided, broken = await self._guided(last=len(self.turns) >= self.depth.max_turns)
            if self.waiting is not None:
                return False
            if guided is not None:
                step, by = guided, self.depth.guide
        self.step = step
        await self.decider.record(
            self.run.history, "depth", _words(step), task_id=self.work.task.id, attempt=n,
            policy=self.depth.name, reason=step.think[:500],
            context=self._context(step, by, broken),
        )  # fmt: skip
        return isinstance(step, Route)

    async def _guided(self, *, last: bool) -> tuple[Route | Finish | None, str]:
        """What the guide wants, None and the broken rule where it cannot be taken."""
        guide, task = self.depth.guide or "", self.work.task
        agents = roster(self.registry, task, without=guide)
        prompt = guide_prompt(task, agents, tuple(self.turns), last=last)
        reason = f"guides turn {self.first + len(self.turns)} of task '{task.id}'"
        out = await self.carry(
            self.run,
            Assignment(
                task=Task(id=f"{task.id}.lead"[:200], prompt=prompt), kind="lead", agent=guide,
                about=task.id, attempt=asked_for(self.run, task.id, reason), reason=reason,
            ),
        )  # fmt: skip
        if not isinstance(out, TaskOutcome):
            self.waiting = out
            return None, ""
        broken = "no answer"
        if out.reply is not None:
            said, broken = read_turn(out.reply.text, agents, last=last)
            if said is not None and said.answer is not None:
                return Finish(said.think, cited(said.answer, self.turns), said.answer), ""
            if said is not None:
                return Route(said.think, said.sub_query, said.agent), ""
        self.said.append(f"task '{task.id}': the guide '{guide}' {broken}; the rule took the turn")
        return None, broken

    def _context(self, step: Route | Finish, by: str, broken: str) -> dict[str, Any]:
        """All that the turn rests on, and the graph that it runs in."""
        depth = self.depth
        own: dict[str, Any] = (
            asdict(depth) if is_dataclass(depth) and not isinstance(depth, type) else {}
        )
        m = len(self.questions)
        told = len({t.about for t in self.turns if t.information and t.about is not None})
        return {
            "params": {k: v for k, v in own.items() if k != "name"},
            "by": by,
            "broken": broken,
            "turn": len(self.turns) + 1,
            "questions": list(self.questions),
            "coverage": told / m if m else 1.0,
            "turns": [{**asdict(t), "information": bool(t.information)} for t in self.turns],
            "step": {"kind": type(step).__name__, **asdict(step)},
            **(self._transcript(step) if isinstance(step, Finish) else {}),
            "plan": {**structure(cyclic()), "recursion_limit": limit(depth.max_turns)},
        }

    def _transcript(self, f: Finish) -> dict[str, Any]:
        """The whole of it as Router-R1 writes it, and the rules that it breaks."""
        turns = [written(t.think, Said(t.think, t.agent, t.sub_query), t.information[:4_000])
                 for t in self.turns]  # fmt: skip
        answer = f.text or " ".join(f"[{n}]" for n in f.cites) or "none"
        text = "".join([*turns, written(f.think, Said(f.think, answer=answer))])
        agents = roster(self.registry, self.work.task)
        return {"transcript": text, "broken_rules": list(broken_rules(text, agents))}

    def _of_row(self, row: Decision) -> Route | Finish:
        step = dict(self.decider.ledger.record(row.id).context["step"])
        if step.pop("kind") == "Route":
            return Route(**step)
        return Finish(**{**step, "cites": tuple(step["cites"])})

    # -- the agent's node ----------------------------------------------------------------------

    async def _agent(self) -> bool:
        """The sub-query as a decision of its own; a failure gives no information."""
        r, task = self.step, self.work.task
        assert isinstance(r, Route)
        n = len(self.turns) + 1
        if r.agent is not None and r.agent not in roster(self.registry, task):
            self.said.append(f"task '{task.id}': turn {n}: there is no agent '{r.agent}' for it")
            self.turns.append(Turn(n, r.think, r.sub_query, r.agent, "", r.about))
            return True
        dumb = (t.agent for t in self.turns if t.about == r.about and not t.information and t.agent)
        inputs = {f"turn{k}": reply for k, reply in self.replies.items()}
        out = await self.carry(
            self.run,
            replace(
                self.work, task=task.model_copy(update={"prompt": r.sub_query}), turn=True,
                inputs={**self.work.inputs, **inputs}, agent=r.agent, attempt=self.attempt,
                exclude=(*self.work.exclude, *(dumb if r.agent is None else ())),
                reason=f"turn {n}: {r.think}"[:500],
            ),
        )  # fmt: skip
        if not isinstance(out, TaskOutcome):
            self.waiting = out
            return False
        self.attempt = out.attempt + 1
        self.said += out.said
        self.decided[n] = out
        who = out.agents[0] if out.agents else r.agent or (out.tried[-1] if out.tried else "")
        text = ""
        if out.reply is not None and not out.reply.abstained:
            self.replies[n] = out.reply
            text = out.reply.text or str(out.reply.data)
        self.turns.append(Turn(n, r.think, r.sub_query, who, text, r.about))
        return True

    # -- the answer ----------------------------------------------------------------------------

    def _outcome(self) -> TaskOutcome:
        f, task = self.step, self.work.task
        assert isinstance(f, Finish)
        tried = tuple(dict.fromkeys(a for o in self.decided.values() for a in o.tried))
        attempt = max(self.attempt - 1, self.first + len(self.turns))
        said = list(dict.fromkeys(self.said))
        last = max(self.decided, default=0)
        if f.text is None and not f.cites:
            all_abstain = bool(self.decided) and all(
                o.status == "abstained" for o in self.decided.values()
            )
            return TaskOutcome(
                task.id, "abstained" if all_abstain else "failed", tried=tried,
                said=(*said, f"task '{task.id}': {f.short or f.think}"), attempt=attempt,
                decision_id=self.decided[last].decision_id if last else "",
            )  # fmt: skip
        if f.short:
            said.append(f"task '{task.id}': {f.short}")
        reply = self._reply(f)
        agents = tuple(dict.fromkeys(self.turns[n - 1].agent for n in f.cites))
        by = {self.turns[n - 1].agent: r for n, r in self.replies.items()}
        return TaskOutcome(
            task.id, "ok", agents=agents, tried=tried, reply=reply, replies=by,
            sha=self.decider.ledger.put_text(reply.model_dump_json()), said=tuple(said),
            attempt=attempt,
            decision_id=self.decided[max(f.cites)].decision_id if f.cites else "",
        )  # fmt: skip

    def _reply(self, f: Finish) -> AgentReply:
        """The answer with ``data.turns``: which turn and agent gave what, and which are cited."""
        told = [t for t in self.turns if t.n in f.cites]
        one = self.replies[told[0].n] if f.text is None and len(told) == 1 else AgentReply()
        text = f.text if f.text is not None else one.text
        if f.text is None and len(told) > 1:
            text = "\n\n".join(f"{t.sub_query}\n{t.information} [{t.n}: {t.agent}]" for t in told)
        own = one.data if isinstance(one.data, dict) else {"value": one.data}
        turns = [
            {"turn": t.n, "agent": t.agent, "sub_query": t.sub_query, "cited": t.n in f.cites}
            for t in self.turns
        ]
        data = {**({} if one.data is None else own), "turns": turns}
        whole = one.model_copy(
            update={"text": text, "data": data, "incomplete": one.incomplete or f.short[:500]}
        )
        return citing(whole, {t.agent: self.replies[t.n] for t in told})


def _words(step: Route | Finish) -> tuple[str, ...]:
    """The turn as ``chosen`` of its row."""
    if isinstance(step, Route):
        return ("route", *(() if step.agent is None else (step.agent,)))
    return ("answer", *(f"turn {n}" for n in step.cites))
