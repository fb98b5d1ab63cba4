"""The service, asked over HTTP: nothing acknowledged is lost, and a student's answers are one after the other."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from made_trained import SKILLS, trained

pytest.importorskip("fastapi")
EXAMPLES = Path(__file__).parents[2] / "examples"
Start = Callable[..., tuple[httpx.Client, subprocess.Popen]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the service on a free port, as a process of its own: start(seed) gives a client and the process."""
    running: list[subprocess.Popen] = []

    def begin(seed: int = 0) -> tuple[httpx.Client, subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        model = trained(seed=seed).save(tmp_path / f"{seed}.gainkt")
        command = [sys.executable, EXAMPLES / "serve.py", model, tmp_path / "students.db", str(port)]
        process = subprocess.Popen(list(map(str, command)))
        running.append(process)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        for _ in range(600):
            try:
                client.get("/openapi.json")
                return client, process
            except httpx.TransportError:
                assert process.poll() is None, "the service did not start"
                time.sleep(0.1)
        raise AssertionError("the service does not answer")

    yield begin
    for process in running:
        process.kill()
        process.wait()


def post(client: httpx.Client, student: str, skill: str = "k1", correct: bool = True) -> dict:
    done = client.post(f"/students/{student}/answers", json={"skill": skill, "correct": correct})
    assert done.status_code == 200, done.text
    return done.json()


@contextmanager
def asked(app: object) -> Iterator[httpx.Client]:
    """Serve an app from a thread of this process."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


def test_answers_in_mastery_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from serve import create_app

    answers = [("k1", True), ("k2", False), (["k1", "k3"], True)]
    wrong = [{"skill": "k9", "correct": True}, {"skill": "k1", "correct": "maybe"}, {"skill": "k1"}]
    model, file, trace = trained(), tmp_path / "students.db", trained().start()
    with asked(create_app(model, file)) as client:
        for number, (skill, correct) in enumerate(answers, 1):
            given = {"skill": skill, "item": "i1", "correct": correct}
            said = client.post("/students/anna/answers", json=given).json()
            trace = model.observe(trace, **given)
            assert said["number"] == number
            for name, mastery in said["mastery"].items():
                assert abs(mastery - model.outlook(trace)["mastery"][name]) < 1e-5
    with asked(create_app(model, file)) as client:
        skills = client.get("/students/anna").json()["skills"]
        assert set(skills) == set(SKILLS)
        assert abs(skills["k5"]["p1"] - model.outlook(trace)["p1"]["k5"]) < 1e-5
        explained = client.get("/students/anna/explain", params={"skill": "k1"}).json()
        assert abs(sum(part["logit"] for part in explained["parts"]) - explained["chain"]["logit"]) < 1e-5
        assert client.get("/students/bert").status_code == 404
        for answer in [*wrong, {"skill": [], "correct": True}]:
            assert client.post("/students/anna/answers", json=answer).status_code == 422, answer
        assert client.get("/students/anna").json()["number"] == 3, "what was refused leaves no trace"
    other = trained(seed=1)
    with asked(create_app(other, file)) as client:
        moved, trace = client.get("/students/anna").json()["skills"], other.start()
    for skill, correct in answers:
        trace = other.observe(trace, skill=skill, item="i1", correct=correct)
    assert abs(moved["k1"]["mastery"] - other.outlook(trace)["mastery"]["k1"]) < 1e-5


@pytest.mark.slow
def test_two_clients_keep_a_students_order_and_the_load_holds(start: Start, tmp_path: Path) -> None:
    client, _ = start()
    times: list[float] = []
    numbers: list[int] = []

    def work(worker: int) -> None:
        with httpx.Client(base_url=client.base_url, timeout=60) as own:
            for step in range(150):
                begun = time.perf_counter()
                said = post(own, "shared" if step % 2 else f"own-{worker}", SKILLS[step % 7], step % 3 > 0)
                times.append(time.perf_counter() - begun)
                if step % 2:
                    numbers.append(said["number"])

    begun = time.perf_counter()
    threads = [threading.Thread(target=work, args=[worker]) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    assert sorted(numbers) == list(range(1, 301)), "each answer has its place"
    with sqlite3.connect(tmp_path / "students.db") as database:
        rows = database.execute("SELECT answer FROM answers WHERE student = 'shared' ORDER BY number").fetchall()
    model, trace = trained(), trained().start()
    for (answer,) in rows:
        trace = model.observe(trace, **json.loads(answer))
    now = client.get("/students/shared").json()["skills"]
    assert abs(now["k1"]["mastery"] - model.outlook(trace)["mastery"]["k1"]) < 1e-5
    print(f"{len(times) / took:.0f} answers a second, 95th percentile {1000 * np.percentile(times, 95):.0f} ms")
    assert len(times) / took > 10


@pytest.mark.slow
def test_killed_under_load_nothing_acknowledged_is_lost(start: Start) -> None:
    acknowledged: dict[str, int] = {}
    for round_ in range(3):
        client, process = start()
        for student, number in acknowledged.items():
            assert client.get(f"/students/{student}").json()["number"] >= number

        def work(worker: int, base: httpx.URL = client.base_url) -> None:
            with httpx.Client(base_url=base, timeout=60) as own:
                for step in range(10_000):
                    try:
                        said = post(own, f"s{worker}", SKILLS[step % 7], step % 2 > 0)
                    except httpx.TransportError:
                        return
                    acknowledged[f"s{worker}"] = said["number"]

        threads = [threading.Thread(target=work, args=[worker]) for worker in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(2 + round_)
        os.kill(process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
    client, _ = start()
    assert len(acknowledged) == 3
    for student, number in acknowledged.items():
        assert client.get(f"/students/{student}").json()["number"] in (number, number + 1)
