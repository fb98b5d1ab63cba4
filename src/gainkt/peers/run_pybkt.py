"""Fit pyBKT on the training part, and predict: `<python> run_pybkt.py <folder>` (see gainkt.peers)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from pyBKT.models import Model


def rows_of(path: Path) -> pd.DataFrame:
    """Return a part with the columns that pyBKT reads."""
    rows = pd.read_csv(path)
    return rows.assign(
        user_id=rows["student"],
        skill_name="k" + rows["skill"].astype(str) + "_",  # it takes a name for a pattern: k1_ is not in k12_
        correct=rows["response"],
        order_id=range(len(rows)),
    )


def main(folder: Path) -> None:
    """Fit, and write predictions.csv."""
    given = json.loads((folder / "settings.json").read_text())
    settings = given["settings"]
    train, test = rows_of(folder / "train.csv"), rows_of(folder / "test.csv")
    model = Model(seed=given["seed"], num_fits=settings["num_fits"], parallel=False)
    model.fit(data=train, forgets=settings["forgets"])
    said = model.predict(data=test).sort_values("order_id")
    table = test.assign(p=said["correct_predictions"].to_numpy())
    table[table["scored"] == 1][["student", "step", "p"]].to_csv(folder / "predictions.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
