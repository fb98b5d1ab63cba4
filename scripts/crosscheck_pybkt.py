"""Hold gainkt's BKT against pyBKT on the same simulated students: `python scripts/crosscheck_pybkt.py [--forgets]`.

pyBKT needs older packages than gainkt, so that it is installed into an environment of its own in a temporary folder
(which takes a network and a minute), or found in `--python`. Prints the AUC of both on students that neither was
fitted on, both models' chances beside the true ones, and how far the two filters differ given the same chances. Ends
with status 1 where these differ by more than rounding: pyBKT gives its chances to five decimals.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torchmetrics.functional.classification import binary_auroc

from gainkt.data.log import InteractionLog, offsets_of
from gainkt.references import BKT
from gainkt.references.bkt import Chances, chances_of

PACKAGES = ("pyBKT==1.4.3", "scikit-learn==1.7.2", "numpy==2.3.5", "pandas==2.3.3")
RESTARTS = 3
"""Fits of pyBKT from random starts, of which it keeps the best."""
ROUNDING = 1e-3
THEIR_NAMES = {"prior": "prior", "learns": "learn", "forgets": "forget", "guesses": "guess", "slips": "slip"}
THEIR_SIDE = """
import sys
import pandas as pd
from pyBKT.models import Model

folder, forgets = sys.argv[1], sys.argv[2] == "True"
model = Model(seed=0, num_fits={restarts}, parallel=False)
model.fit(data=pd.read_csv(folder + "/train.csv"), forgets=forgets)
model.params().reset_index().to_csv(folder + "/params.csv", index=False)
model.predict(data=pd.read_csv(folder + "/test.csv")).to_csv(folder + "/predictions.csv", index=False)
"""


def draw(truth: Chances, num_students: int, length: int, seed: int) -> np.ndarray:
    """Draw responses [students, skills, opportunities] from the model itself."""
    rng = np.random.default_rng(seed)
    prior, learn, forget, guess, slip = truth
    known = rng.random((num_students, len(prior))) < prior
    responses = []
    for _ in range(length):
        responses.append(rng.random(known.shape) < np.where(known, 1 - slip, guess))
        chance = rng.random(known.shape)
        known = np.where(known, chance >= forget, chance < learn)
    return np.stack(responses, axis=2).astype(np.uint8)


def log_of(responses: np.ndarray) -> InteractionLog:
    """Return the log of students who practise one skill after another."""
    students, skills, length = responses.shape
    steps = responses.size
    return InteractionLog(
        name="drawn",
        offsets=offsets_of(np.full(students, skills * length)),
        responses=responses.reshape(-1),
        skill_offsets=np.arange(steps + 1),
        skills=np.tile(np.repeat(np.arange(skills, dtype=np.int32), length), students),
        items=np.full(steps, -1, dtype=np.int32),
        students=np.array([f"s{i}" for i in range(students)]),
        skill_names=np.array([f"k{k}" for k in range(skills)]),
        item_names=np.array([], dtype=np.str_),
        folds=np.full(students, -2, dtype=np.int16),
    )


def rows_of(log: InteractionLog, students: np.ndarray) -> pd.DataFrame:
    """Return the steps of some students with the columns that pyBKT reads."""
    steps = log.steps_of(students)
    return pd.DataFrame(
        {
            "user_id": np.repeat(students, log.lengths[students]),
            "skill_name": log.skill_names[log.skills[steps]],
            "correct": log.responses[steps],
            "order_id": steps,
        }
    )


def own_environment(folder: Path) -> Path:
    """Make a virtual environment with pyBKT and return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    free = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, env=free)
    return python


def theirs(log: InteractionLog, students: int, forgets: bool, python: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit pyBKT on the first students; return its chances, and its predictions of the others in the log's order."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows_of(log, np.arange(students)).to_csv(folder / "train.csv", index=False)
        rows_of(log, np.arange(students, log.num_students)).to_csv(folder / "test.csv", index=False)
        side = folder / "their_side.py"
        side.write_text(THEIR_SIDE.format(restarts=RESTARTS))
        interpreter = python or own_environment(folder / "environment")
        subprocess.run([interpreter, side, folder, str(forgets)], check=True)
        params = pd.read_csv(folder / "params.csv").replace({"param": THEIR_NAMES})
        predictions = pd.read_csv(folder / "predictions.csv").sort_values("order_id")
    table = params.pivot_table(index="skill", columns="param", values="value").loc[list(log.skill_names)]
    return table.reindex(columns=list(Chances._fields), fill_value=0.0), predictions


def auc(probability: np.ndarray, response: np.ndarray) -> float:
    """Area under the ROC curve."""
    return float(binary_auroc(torch.tensor(probability, dtype=torch.float32), torch.tensor(response).long()))


def main() -> int:
    """Compare, print, and tell whether the filters agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=300, help="to fit on; as many again to score on")
    parser.add_argument("--skills", type=int, default=4)
    parser.add_argument("--length", type=int, default=10, help="opportunities of each student and skill")
    parser.add_argument("--forgets", action="store_true", help="draw and fit with forgetting")
    parser.add_argument("--python", type=Path, help="a Python that has pyBKT; none is installed then")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    ranges = {"prior": (0.2, 0.6), "learn": (0.05, 0.3), "forget": (0, 0.1), "guess": (0.1, 0.3), "slip": (0.05, 0.2)}
    truth = pd.DataFrame({name: rng.uniform(*ranges[name], options.skills) for name in Chances._fields})
    truth = truth.set_axis([f"k{k}" for k in range(options.skills)])
    if not options.forgets:
        truth["forget"] = 0.0
    log = log_of(draw(chances_of(truth), 2 * options.students, options.length, seed=1))
    fit, test = np.arange(options.students), np.arange(options.students, 2 * options.students)
    steps = log.steps_of(test)
    ours = BKT.fit(log, fit, forgets=options.forgets)
    found, predictions = theirs(log, options.students, options.forgets, options.python)
    common = dict.fromkeys(Chances._fields, 0.0)  # no skill is unseen
    same, true = (BKT(table, common, ours.combine, 0, 0.0, 0) for table in (found, truth))
    their_probability = predictions["correct_predictions"].to_numpy()
    response = log.responses[steps]
    differ = np.abs(same.predict(log, test).probability_M[steps] - their_probability).max()
    states = np.abs(same.predict(log, test).mastery_before_L[steps] - predictions["state_predictions"]).max()

    print(f"test AUC: gainkt {auc(ours.predict(log, test).probability_M[steps], response):.4f}, ", end="")
    print(f"pyBKT {auc(their_probability, response):.4f}, ", end="")
    print(f"true chances {auc(true.predict(log, test).probability_M[steps], response):.4f}")
    columns = {"true": truth, "gainkt": ours.parameters, "pyBKT": found}
    table = pd.DataFrame({(n, who): p.get(n, 0.0) for n in Chances._fields for who, p in columns.items()})
    print(table.T.round(3).to_string())
    for who in ("gainkt", "pyBKT"):
        error = table.xs(who, axis=1, level=1) - table.xs("true", axis=1, level=1)
        off = error.abs().to_numpy().mean()
        print(f"mean absolute error of {who}'s chances: {off:.4f}")
    print(f"filters given pyBKT's chances: predictions differ by {differ:.1e} at most, mastery by {states:.1e}")
    return int(max(differ, states) > ROUNDING)


if __name__ == "__main__":
    sys.exit(main())
