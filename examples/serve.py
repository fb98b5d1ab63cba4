"""A service that keeps students' mastery up to date: `python examples/serve.py <run or bundle> [students.db] [port]`.

    POST /students/{student}/answers   {"skill": "fractions", "item": "q17", "correct": true} -> number and mastery
    GET  /students/{student}           mastery and chances of a right answer (p1, p2) of every skill
    GET  /students/{student}/explain?skill=fractions

An answer is acknowledged once it is on disk, so a crash loses nothing that was acknowledged. Each is one transaction:
two clients, or two processes, that answer for one student are one after the other. The model may be replaced: students
whose state is another model's are brought up to date from their answers. `pip install 'gainkt[serve]'`.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, StrictBool

import gainkt
from gainkt.errors import ConfigError, DataError

TABLES = """
CREATE TABLE IF NOT EXISTS states (student TEXT PRIMARY KEY, answers INTEGER, state BLOB);
CREATE TABLE IF NOT EXISTS answers (student TEXT, number INTEGER, answer TEXT, PRIMARY KEY (student, number));
"""


class Answer(BaseModel):
    """An answer of a student: the item's skill or skills, the item if it has a name, and whether it was right."""

    skill: str | list[str]
    item: str | None = None
    correct: StrictBool


class Students:
    """Students' states in a SQLite file."""

    def __init__(self, model: gainkt.TrainedModel, file: str | Path) -> None:
        self.model, self.lock = model, threading.Lock()
        self.database = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=FULL")  # a commit is on disk, whatever happens next
        self.database.executescript(TABLES)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the database: of this process's threads by a lock, of other processes by SQLite's own."""
        with self.lock:
            self.database.execute("BEGIN IMMEDIATE")
            try:
                yield self.database
                self.database.execute("COMMIT")
            except BaseException:
                self.database.execute("ROLLBACK")
                raise

    def trace(self, database: sqlite3.Connection, student: str) -> tuple[Any, int]:
        """Return where a student stands, and after how many answers; replayed where the state is another model's."""
        row = database.execute("SELECT state, answers FROM states WHERE student = ?", [student]).fetchone()
        if row is None:
            return self.model.start(), 0
        try:
            return self.model.restore(row[0]), row[1]
        except ConfigError:
            trace = self.model.start()
            rows = database.execute("SELECT answer FROM answers WHERE student = ? ORDER BY number", [student])
            for (answer,) in rows.fetchall():
                trace = self.model.observe(trace, **json.loads(answer), unknown_skills="skip")
            return trace, row[1]

    def answer(self, student: str, answer: Answer) -> tuple[Any, int]:
        """Take in an answer, and return where the student stands and after how many answers."""
        with self.transaction() as database:
            trace, number = self.trace(database, student)
            trace = self.model.observe(trace, **answer.model_dump())
            database.execute("INSERT INTO answers VALUES (?, ?, ?)", [student, number, answer.model_dump_json()])
            database.execute("REPLACE INTO states VALUES (?, ?, ?)", [student, number + 1, trace.to_bytes()])
        return trace, number + 1

    def known(self, student: str) -> tuple[Any, int]:
        """Return where a student stands who has answered something."""
        with self.transaction() as database:
            trace, number = self.trace(database, student)
        if not number:
            raise HTTPException(404, f"no answers of {student}")
        return trace, number


def create_app(model: gainkt.TrainedModel, file: str | Path) -> FastAPI:
    """Return the service."""
    app, students = FastAPI(title=f"gainkt: {model.name}"), Students(model, file)

    @app.exception_handler(DataError)
    def refuse(request: Any, error: DataError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.post("/students/{student}/answers")
    def answer(student: str, answer: Answer) -> dict[str, Any]:
        trace, number = students.answer(student, answer)
        asked = [answer.skill] if isinstance(answer.skill, str) else answer.skill
        now = model.outlook(trace, dict(zip(asked, asked, strict=True)))
        return {"number": number, "mastery": now["mastery"].round(6).to_dict()}

    @app.get("/students/{student}")
    def student(student: str) -> dict[str, Any]:
        trace, number = students.known(student)
        return {"number": number, "skills": model.outlook(trace).round(6).to_dict("index")}

    @app.get("/students/{student}/explain")
    def explain(student: str, skill: str) -> dict[str, Any]:
        trace, number = students.known(student)
        found = model.explain(trace, skill=skill)
        parts = json.loads(found.table.to_json(orient="records"))
        return {"number": number, "parts": parts, "chain": found.chain, "would": found.would}

    return app


if __name__ == "__main__":
    import uvicorn

    torch.set_num_threads(1)  # the work on one answer is too small to be shared
    arguments = [*sys.argv[1:], *["students.db", "8000"][len(sys.argv) - 2 :]]
    uvicorn.run(create_app(gainkt.load(arguments[0]), arguments[1]), port=int(arguments[2]), log_level="warning")
