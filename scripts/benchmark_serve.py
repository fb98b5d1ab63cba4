"""What examples/serve.py holds: `python scripts/benchmark_serve.py`, over real HTTP, clients on the same machine.

Several clients answer for students of their own and, every other time, for one that they share. After `--seconds` the
service is killed (SIGKILL) under load and started again: what it had acknowledged must be there, and the shared
student's answers must have been taken one after the other. The model has the shipped size, random weights and
`--skills` skills.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmark_tracer import made_up

ROOT = Path(__file__).resolve().parents[1]
SHARED = "shared"


class Client(threading.Thread):
    """Answers until the service is gone."""

    def __init__(self, port: int, own: str, skills: tuple[str, ...]) -> None:
        super().__init__()
        self.port, self.own, self.skills = port, own, skills
        self.times: list[float] = []
        self.acknowledged: list[tuple[str, int, str]] = []

    def run(self) -> None:
        """Send answers, and note how long each took and which number it got."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        draw = np.random.default_rng(int.from_bytes(self.own.encode()))
        for number in range(1_000_000):
            student = SHARED if number % 2 else self.own
            # The item's name is the answer's own, so that the database tells whose place an answer got.
            answer = {"skill": self.skills[draw.integers(len(self.skills))], "item": f"{self.own} {number}"}
            body = json.dumps({**answer, "correct": bool(draw.integers(2))})
            begun = time.perf_counter()
            try:
                connection.request("POST", f"/students/{student}/answers", body, {"Content-Type": "application/json"})
                said = json.loads(connection.getresponse().read())
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                return
            self.times.append(1000 * (time.perf_counter() - begun))
            self.acknowledged.append((student, said["number"], answer["item"]))


def start(bundle: Path, database: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the service on a free port, and return it once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [sys.executable, ROOT / "examples" / "serve.py", bundle, database, port]
    service = subprocess.Popen(list(map(str, command)))
    for _ in range(600):
        try:
            ask(port, "/openapi.json")
            return service, port
        except OSError:
            if service.poll() is not None:
                break
            time.sleep(0.1)
    service.kill()
    sys.exit("the service did not start")


def ask(port: int, path: str) -> dict[str, object]:
    """Return what a GET request gives."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    found: dict[str, object] = json.loads(connection.getresponse().read())
    return found


def measure(experiment: str, num_skills: int, clients: int, seconds: float, folder: Path) -> list[str]:
    """Return a row of the table.

    Raises:
        SystemExit: an acknowledged answer was lost, or two answers got one place.
    """
    model = made_up(experiment, num_skills)
    bundle, database = model.save(folder / f"{experiment}.gainkt"), folder / f"{experiment}.db"
    service, port = start(bundle, database)
    working = [Client(port, f"own-{i}", tuple(model.skills.names)) for i in range(clients)]
    begun = time.perf_counter()
    for client in working:
        client.start()
    time.sleep(seconds)
    service.kill()
    took = time.perf_counter() - begun
    for client in working:
        client.join()
    service.wait()
    known = [entry for client in working for entry in client.acknowledged]
    begun = time.perf_counter()
    service, port = start(bundle, database)
    again = time.perf_counter() - begun
    counts = {student: ask(port, f"/students/{student}")["number"] for student, _, _ in known}
    service.kill()
    service.wait()
    with sqlite3.connect(database) as kept:
        rows = kept.execute("SELECT student, number, answer FROM answers").fetchall()
    items = {(student, number + 1): json.loads(answer)["item"] for student, number, answer in rows}
    lost = [entry for entry in known if items.get(entry[:2]) != entry[2]]
    last = {student: max(n for name, n, _ in known if name == student) for student in counts}
    if lost or any(counts[student] < number for student, number in last.items()):  # type: ignore[operator]
        sys.exit(f"{experiment}: {len(lost)} acknowledged answers are lost or stand in another place")
    times = np.concatenate([client.times for client in working])
    figures = [f"{len(times) / took:.0f}", *(f"{np.percentile(times, q):.0f}" for q in (50, 95))]
    return [experiment, str(clients), *figures, f"{len(known):,}", str(len(lost)), f"{again:.0f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=("v4_belief", "v4_items_attention"))
    parser.add_argument("--skills", type=int, default=200)
    parser.add_argument("--clients", type=int, nargs="+", default=(1, 4))
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    head = ["experiment", "clients", "answers a second", "median ms", "95th ms", "acknowledged before SIGKILL", "lost"]
    head += ["ready again after, s"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for experiment in given.experiments:
        for clients in given.clients:
            with tempfile.TemporaryDirectory() as folder:
                row = measure(experiment, given.skills, clients, given.seconds, Path(folder))
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
