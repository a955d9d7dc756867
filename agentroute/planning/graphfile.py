"""A graph of tasks as YAML: strict keys, ``${inputs.X}``, ``foreach``; and the plan it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from agentroute.config.yaml import Document, load_yaml, parse_yaml, validate
from agentroute.errors import (
    ConfigError,
    CycleError,
    GraphError,
    PlanError,
    TaskGraphError,
    UnknownDependencyError,
    UsageError,
    did_you_mean,
)
from agentroute.model.plans import (
    AgentUse,
    Assign,
    Batch,
    FailWhen,
    Plan,
    Synthesis,
    Topology,
    Written,
)
from agentroute.model.record import Part
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.inputs import InputSpec, fill, look_up, read_inputs, references
from agentroute.planning.topology import choose_topology

MAX_TASKS = 10_000


def _use(value: Any) -> Any:
    """A name, or a mapping of ``name`` and parameters."""
    if isinstance(value, dict) and set(value) == {"name", "params"}:
        return value  # as a plan is stored
    try:
        return AgentUse.of(value)
    except ConfigError as e:
        raise ValueError(f"{e}; {e.hint}") from None


def _uses(value: Any) -> Any:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


Use = Annotated[AgentUse, BeforeValidator(_use, json_schema_input_type=Written)]
Uses = Annotated[
    tuple[Use, ...], BeforeValidator(_uses, json_schema_input_type=Written | list[Written])
]


def _assign(value: Any) -> Any:
    """``true`` is the defaults, ``false`` is nothing."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class TaskSpec(Task):
    """A task as written: ``foreach`` makes it one task for each item of a list input.

    ``assign`` gives these to agents together: ``true``, or ``{by: expert, wait: 0.05, least: 0}``.
    """

    id: str = Field(min_length=1, max_length=200, pattern=r"^[^\[\]${}\x00-\x1f]+$")
    foreach: str | None = None
    assign: Annotated[
        Assign | None,
        BeforeValidator(_assign, json_schema_input_type=bool | Assign | None),
    ] = None


class GraphSpec(Part):
    """A graph file. What is left out is taken from the settings."""

    name: str = Field(min_length=1, max_length=120)
    description: str = ""
    inputs: dict[str, InputSpec] = {}
    tasks: tuple[TaskSpec, ...] = Field(min_length=1)
    topology: Literal["auto"] | Topology | Literal["learned"] = "auto"
    router: Use | None = None
    depth: Use | None = None
    refine: Use | None = None
    verifier: Uses = ()
    accept_at: float | None = Field(None, ge=0, le=1)
    synthesis: Synthesis | None = None
    lead: Use | None = None
    exploration: float | None = Field(None, ge=0, le=1)
    artifact: str | None = None
    fail_when: dict[str, Any] | None = None


def load_graph(path: Path | str) -> GraphSpec:
    """Read and check a graph file; its ``name`` defaults to the file's.

    A file that has not changed (by time and size) is not read again.

    Raises:
        GraphError: with file, line, field and hint.
    """
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):
        return _load(str(path), 0, 0)  # says what is wrong with it
    return _load(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _load(path: str, mtime_ns: int, size: int) -> GraphSpec:
    return _checked(load_yaml(path, error=GraphError), Path(path).stem)


def parse_graph(text: str, *, name: str = "graph") -> GraphSpec:
    """``load_graph`` for text that is already here."""
    return _checked(parse_yaml(text, f"<{name}>", error=GraphError), name)


def _checked(doc: Document, name: str) -> GraphSpec:
    if isinstance(doc.data, dict):
        doc = Document({"name": name, **doc.data}, doc.path, doc.lines)
    spec = validate(GraphSpec, doc, error=GraphError)
    for at, value in _texts(spec):
        for ref in references(value):
            _check_reference(spec, doc, at, ref)
    for i, task in enumerate(spec.tasks):
        _check_foreach(spec, doc, i, task)
        _check_assign(spec, doc, i, task)
    _check_shape(spec, doc)
    return spec


def _texts(spec: GraphSpec) -> list[tuple[tuple[str | int, ...], Any]]:
    found: list[tuple[tuple[str | int, ...], Any]] = []
    for i, task in enumerate(spec.tasks):
        for field in ("prompt", "params", "features", "agent"):
            found.append((("tasks", i, field), getattr(task, field)))
    for field in ("refine", "verifier", "lead", "fail_when", "artifact"):
        value = getattr(spec, field)
        uses = value if isinstance(value, tuple) else (value,)
        found += [((field,), u.params if isinstance(u, AgentUse) else u) for u in uses]
    return found


def _check_reference(spec: GraphSpec, doc: Document, at: tuple[str | int, ...], ref: str) -> None:
    head, _, rest = ref.strip().partition(".")
    each = at[0] == "tasks" and spec.tasks[int(at[1])].foreach is not None
    if head == "inputs" and rest.split(".")[0] in spec.inputs:
        return
    if each and head in ("item", "index"):
        return
    known = [f"inputs.{n}" for n in spec.inputs] + (["item", "index"] if each else [])
    raise GraphError(
        f"${{{ref}}} is not known here",
        path=doc.path, line=doc.line(at), field=_dotted(at), hint=did_you_mean(ref, known),
    )  # fmt: skip


def _check_foreach(spec: GraphSpec, doc: Document, i: int, task: TaskSpec) -> None:
    if task.foreach is None:
        return
    refs = list(references(task.foreach))
    name = refs[0].removeprefix("inputs.") if len(refs) == 1 else ""
    kind = spec.inputs[name].type if name in spec.inputs else None
    if kind not in ("list", "yaml-list"):
        at = ("tasks", i, "foreach")
        raise GraphError(
            "must be ${inputs.X} with X an input of type list or yaml-list",
            path=doc.path, line=doc.line(at), field=_dotted(at),
        )  # fmt: skip


def _check_assign(spec: GraphSpec, doc: Document, i: int, task: TaskSpec) -> None:
    """It needs items, and gives each of them to one agent."""
    if task.assign is None:
        return
    depth = spec.depth if task.depth is None else AgentUse.of(task.depth, field="depth")
    if task.foreach is None:
        said, hint = (
            "needs foreach: one task alone is nothing to assign",
            "add foreach, or leave it out",
        )
    elif depth is not None and depth.name != "one":
        said, hint = f"gives an item to one agent, and depth is '{depth.name}'", "depth: one"
    else:
        return
    at = ("tasks", i, "assign")
    raise GraphError(said, path=doc.path, line=doc.line(at), field=_dotted(at), hint=hint)


def _check_shape(spec: GraphSpec, doc: Document) -> None:
    ids = [t.id for t in spec.tasks]
    try:
        TaskGraph(spec.tasks)
    except TaskGraphError as e:
        at: tuple[str | int, ...] = ("tasks",)
        if isinstance(e, UnknownDependencyError):
            at = ("tasks", ids.index(e.task_id), "depends_on")
        elif isinstance(e, CycleError):
            at = ("tasks", ids.index(e.cycle[0]), "depends_on")
        raise GraphError(
            str(e), path=doc.path, line=doc.line(at), field=_dotted(at), hint=e.hint
        ) from None


def _dotted(at: tuple[str | int, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in at).lstrip(".")


def make_plan(spec: GraphSpec, inputs: Mapping[str, Any] | None = None) -> Plan:
    """The tasks with all inputs filled in, and the shape Algorithm 1 gives them.

    Raises:
        UsageError: an input is missing, unknown or of the wrong type.
        PlanError: a filled-in task is not valid, or there are none or too many.
    """
    values = read_inputs(spec.inputs, inputs or {})
    scope = {"inputs": values}
    tasks = expand(spec, scope)
    if len(tasks) > MAX_TASKS:
        raise PlanError(f"the graph has {len(tasks):,} tasks", hint=f"at most {MAX_TASKS:,}")
    override = topology_named(spec)
    return Plan(
        name=spec.name,
        description=spec.description,
        tasks=tasks,
        choice=choose_topology(TaskGraph(tasks), override=override),
        selector=AgentUse(name="learned") if spec.topology == "learned" else None,
        inputs=values,
        router=spec.router,
        depth=spec.depth,
        exploration=spec.exploration,
        refine=_filled(spec.refine, scope) if spec.refine else None,
        verifiers=tuple(_filled(v, scope) for v in spec.verifier),
        accept_at=spec.accept_at,
        synthesis=spec.synthesis,
        lead=_filled(spec.lead, scope) if spec.lead else None,
        artifact=fill(spec.artifact, scope),
        fail_when=_fail_when(spec, scope),
        batches=_batches(spec, tasks),
    )


def _batches(spec: GraphSpec, tasks: Sequence[Task]) -> tuple[Batch, ...]:
    """The items of each ``foreach`` that is assigned, one or many."""
    ids = [t.id for t in tasks]
    return tuple(
        Batch(
            name=t.id,
            items=tuple(v for v in ids if v.rpartition("[")[0] == t.id),
            assign=t.assign,
        )
        for t in spec.tasks
        if t.assign is not None
    )


def topology_named(spec: GraphSpec) -> Topology | None:
    """The shape that a graph asks for; None where it leaves it to a rule or to what was learned."""
    return spec.topology if isinstance(spec.topology, Topology) else None


def plan_of_text(prompt: str, *, topology: Topology | None = None, **task: Any) -> Plan:
    """A plan of one task.

    Raises:
        UsageError: the prompt is empty or too long.
    """
    try:
        tasks = (Task(prompt=prompt, **task),)
    except ValidationError as e:
        raise UsageError(_first(e), hint="say in words what is to be done") from None
    choice = choose_topology(TaskGraph(tasks), override=topology)
    return Plan(name="task", tasks=tasks, choice=choice)


def _filled(use: AgentUse, scope: Mapping[str, Any]) -> AgentUse:
    return AgentUse(name=use.name, params=fill(use.params, scope))


def _fail_when(spec: GraphSpec, scope: Mapping[str, Any]) -> FailWhen | None:
    if spec.fail_when is None:
        return None
    try:
        return FailWhen.model_validate(fill(spec.fail_when, scope))
    except ValidationError as e:
        raise PlanError(f"fail_when: {_first(e)}") from None


def expand(spec: GraphSpec, scope: Mapping[str, Any]) -> tuple[Task, ...]:
    """Tasks with ``${...}`` filled in; a ``foreach`` task becomes ``id[0]``, ``id[1]``, ...

    A task that depends on such an id depends on every item, with the same coupling.
    """
    items = {t.id: look_up(next(references(t.foreach)), scope) for t in spec.tasks if t.foreach}
    for task_id, values in items.items():
        if not values:
            raise PlanError(f"'{task_id}' is for each item of an empty list", hint="add an item")
    tasks: list[Task] = []
    for t in spec.tasks:
        if t.id not in items:
            tasks.append(_task(t, t.id, items, scope))
            continue
        for i, item in enumerate(items[t.id]):
            inner = {**scope, "item": item, "index": i}
            tasks.append(_task(t, f"{t.id}[{i}]", items, inner))
    return tuple(tasks)


def _task(spec: TaskSpec, task_id: str, items: Mapping[str, Any], scope: Mapping[str, Any]) -> Task:
    depends_on: dict[str, float] = {}
    for parent, c in spec.depends_on.items():
        ids = [f"{parent}[{i}]" for i in range(len(items[parent]))] if parent in items else [parent]
        depends_on |= dict.fromkeys(ids, c)
    try:
        data = {k: getattr(spec, k) for k in Task.model_fields}
        data |= {"id": task_id, "depends_on": depends_on}
        data["prompt"] = str(fill(spec.prompt, scope))
        data["params"] = fill(spec.params, scope)
        if "item" in scope:
            data["params"] = {"item": scope["item"], "index": scope["index"], **data["params"]}
        data["features"] = {k: str(fill(v, scope)) for k, v in spec.features.items()}
        data["agent"] = fill(spec.agent, scope) or None
        return Task.model_validate(data)
    except KeyError as e:
        raise PlanError(f"task '{task_id}': ${{{e.args[0]}}} is not there") from None
    except ValidationError as e:
        raise PlanError(f"task '{task_id}': {_first(e)}") from None


def _first(e: ValidationError) -> str:
    first = e.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
