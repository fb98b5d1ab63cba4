"""A student's mastery kept up to date without torch: `python examples/onnx_tracer.py <folder of model.export()>`.

Answers come on standard input, one a line: skill (or skills joined by ";"), item or nothing, 1 or 0, between tabs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


class Tracer:
    """A student, from the first answer on."""

    def __init__(self, folder: str) -> None:
        about = json.loads(Path(folder, "model.json").read_text())
        onnxruntime.set_default_logger_severity(3)
        self.session = onnxruntime.InferenceSession(str(Path(folder, "step.onnx")), providers=["CPUExecutionProvider"])
        self.skills, self.slots = about["skills"], about["slots"]
        self.items = {name: number for number, name in enumerate(about["items"])}
        self.state = {name: np.zeros(x["shape"], x["type"]) for name, x in about["state"].items()}

    def observe(self, skills: list[str], item: str, right: bool) -> dict[str, dict[str, float]]:
        """Take in an answer; return mastery and chances of a right answer (p1, p2) of every skill."""
        numbers = [self.skills.index(name) for name in skills]
        answer = {
            "skills": np.array([numbers + [-1] * (self.slots - len(numbers))]),
            "item": np.array([self.items.get(item, -1)]),
            "right": np.array([right], np.float32),
        }
        p1, p2, mastery, *state = self.session.run(None, answer | self.state)
        self.state = dict(zip(self.state, state, strict=True))
        rows = zip(self.skills, mastery[0].tolist(), p1[0].tolist(), p2[0].tolist(), strict=True)
        return {skill: {"mastery": m, "p1": one, "p2": two} for skill, m, one, two in rows}


if __name__ == "__main__":
    student = Tracer(sys.argv[1])
    for line in sys.stdin:
        skills, item, right = line.rstrip("\n").split("\t")
        said = student.observe(skills.split(";"), item, right == "1")
        print(json.dumps({name: round(said[name]["mastery"], 4) for name in skills.split(";")}))
