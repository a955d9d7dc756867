"""The schema as typed classes (SQLModel), for queries of your own. ``migrations.py`` makes it.

Rows of the four chained tables share ``seq``, ``at``, ``body`` (the JSON that is hashed), ``prev``
and ``hash``; the other columns repeat parts of ``body`` so that they can be searched.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Table(SQLModel, registry=registry()):
    """Base of the tables, with a registry of its own: a user's models are not ours."""


class Chained(Table):
    """What every row of the chain has."""

    seq: int | None = Field(default=None, primary_key=True)
    at: str
    body: bytes
    prev: bytes
    hash: bytes


class DecisionRow(Chained, table=True):
    """One choice; ``chosen`` joins the agents with commas, ``packed`` holds the arrays."""

    __tablename__: ClassVar[str] = "decisions"
    __table_args__ = (
        Index("decisions_id", "id", unique=True),
        Index("decisions_key", "run_id", "task_id", "kind", "attempt", unique=True),
    )
    id: str
    run_id: str
    task_id: str
    kind: str
    attempt: int
    policy: str
    status: str
    chosen: str
    packed: bytes | None = None


class OutcomeRow(Chained, table=True):
    """What one call did; ``failed`` says that there was an error."""

    __tablename__: ClassVar[str] = "outcomes"
    __table_args__ = (Index("outcomes_key", "decision_id", "agent", unique=True),)
    decision_id: str
    agent: str
    cost_usd: float
    latency_s: float
    tokens: int
    failed: bool
    shadow: bool


class FeedbackRow(Chained, table=True):
    """What somebody said of a run or a decision."""

    __tablename__: ClassVar[str] = "feedback"
    __table_args__ = (
        Index("feedback_id", "id", unique=True),
        Index("feedback_key", "idempotency_key", unique=True),
        Index("feedback_target", "target_id", "seq"),
    )
    id: str
    target: str
    target_id: str
    agent: str | None = None
    score: float
    source: str
    idempotency_key: str | None = None


class EventRow(Chained, table=True):
    """Something that happened: a run's start and end, a lease, an approval, an erasure."""

    __tablename__: ClassVar[str] = "events"
    __table_args__ = (
        Index("events_id", "id", unique=True),
        Index("events_run", "run_id", "seq"),
        Index("events_type", "type", "seq"),
    )
    id: str
    run_id: str
    type: str


class BlobRow(Table, table=True):
    """Content under its SHA-256; ``kind`` is text, artefact or cardset; no body: erased."""

    __tablename__: ClassVar[str] = "blobs"
    sha256: str = Field(primary_key=True)
    kind: str
    body: bytes | None = None


class SchemaVersion(Table, table=True):
    """Which migrations ran, and when."""

    __tablename__: ClassVar[str] = "schema_version"
    version: int | None = Field(default=None, primary_key=True)
    name: str
    at: str
