"""A run's answer checked against a type that the caller asked for."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from agentroute.errors import AgentFailedError
from agentroute.model.runs import RunResult


def typed(result: RunResult, output_type: type[BaseModel] | None) -> RunResult:
    """``result`` with ``output`` set: the answer's data, else its text as JSON.

    Raises:
        AgentFailedError: the answer does not fit the type; the run is in the ledger all the same.
    """
    if output_type is None or result.status == "failed":
        return result
    try:
        if result.data is not None:
            output = output_type.model_validate(result.data)
        else:
            output = output_type.model_validate_json(result.answer)
    except ValidationError as e:
        raise AgentFailedError(
            f"the answer of run {result.run_id} is not a {output_type.__name__}: "
            f"{e.errors()[0]['msg']}",
            hint="the run is in the ledger; its answer is there as text",
        ) from None
    return result.model_copy(update={"output": output})
