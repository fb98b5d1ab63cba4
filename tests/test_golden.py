"""scripts/golden.py: what it runs, how it tells fingerprints apart, and that it finds what a change moves."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from golden import ROOT, Taker, compare
from golden_prints import differences, excerpt, fingerprint
from golden_worker import cases


def test_every_experiment_but_grids_is_run() -> None:
    names = {case.name for case in cases(ROOT, sliced=False)}
    grids = {"seeds_folds", "sweep_bce_weight", "sweep_learning_curve", "sweep_phase"}
    experiments = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    learners = {"v4_distilled", "v4_steady_distilled"}
    assert names == experiments - grids - learners | {"v3_inverse_warmup-resumed"}, "they learn from other runs"
    assert "v4_belief-assist2015" in {case.name for case in cases(ROOT, sliced=True)}


def test_an_override_is_of_the_working_tree_alone(tmp_path: Path) -> None:
    """So that a default that has changed since is not all that a comparison shows; and no such fingerprint is kept."""
    (tmp_path / "conf").mkdir()
    shutil.copytree(ROOT / "conf" / "experiment", tmp_path / "conf" / "experiment")
    taker = Taker(tmp_path, None, (), Console(), overrides=("dataset.carry_state=false",))
    mine, theirs = taker.cases(ROOT), taker.cases(tmp_path)
    assert all(case.overrides[-1] == "dataset.carry_state=false" for case in mine)
    assert not any("dataset.carry_state=false" in case.overrides for case in theirs)
    assert not taker.is_whole(ROOT)
    assert taker.is_whole(tmp_path)
    assert not Taker(tmp_path, None, ("v0_scalar",), Console()).is_whole(tmp_path)


def test_differences_name_what_moved() -> None:
    old = {"a.csv": {"a": "1", "b": "2", "c": "3"}, "b.json": {"": "0"}}
    new = {"a.csv": {"a": "1", "b": "2.5", "d": "4"}}
    assert differences(old, new) == [
        ("a.csv", "b", "2", "2.5"),
        ("a.csv", "c", "3", "missing"),
        ("a.csv", "d", "missing", "4"),
        ("b.json", "", "1 parts", "missing"),
    ]
    said = io.StringIO()
    taker = Taker(Path(), None, (), Console(file=said, width=100))
    runs = {"one": old, "two": old, "three": old, "gone": old}, {"one": new, "two": new, "three": old}
    assert not compare(*runs, "base", taker, 2)
    expected = (
        "one, two (values of the first)",
        "a.csv: 1 changed, 1 added, 1 removed",
        "    b: 2 -> 2.5",
        "... and 1 more",
        "identical: three",
        "only in base: gone",
        "1 of 3 runs identical to base",
    )
    for line in expected:
        assert line in said.getvalue()
    assert compare({"two": old}, {"two": old}, "base", taker, None)


def test_long_values_are_cut_around_their_difference() -> None:
    text = "x" * 200
    assert "y" in excerpt(text[:150] + "y" + text[151:], text)
    assert excerpt("short", text) == "short"


def test_json_is_told_leaf_by_leaf_and_without_places(tmp_path: Path) -> None:
    content = {"checks": [{"name": "t1", "value": 0.171}], "where": str(tmp_path / "file"), "long": list(range(20))}
    (tmp_path / "scorecard.json").write_text(json.dumps(content))
    (tmp_path / "provenance.json").write_text("{}")
    (tmp_path / "results.json").write_text("{")
    prints = fingerprint(tmp_path)
    assert prints["scorecard.json"]["checks/t1/value"] == "0.171"
    assert prints["scorecard.json"]["where"] == '"<run>/file"'
    assert prints["scorecard.json"]["long"].startswith("list of 20 ")
    assert prints["results.json"]["unreadable"].startswith("JSONDecodeError")
    assert "provenance.json" not in prints


def test_a_long_list_is_told_without_places(tmp_path: Path) -> None:
    """Its digest is of what it says, wherever the run lies."""
    told = []
    for name in ("one", "other"):
        (run := tmp_path / name / "run").mkdir(parents=True)
        advice = [{"command": f"train run={run} run.root={run.parent}"}] * 9
        (run / "advice.json").write_text(json.dumps({"advice": advice}))
        told.append(fingerprint(run)["advice.json"]["advice"])
    assert told[0].startswith("list of 9 ")
    assert told[0] == told[1]


@pytest.mark.slow
def test_a_moved_number_is_found_and_nothing_else(tmp_path: Path) -> None:
    """One experiment learns faster than at the last commit: it differs, resumed or not, and another does not."""
    tree = tmp_path / "tree"
    for part in ("src", "conf", "scripts"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", str(tree), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "before"]):
        subprocess.run([*git, *arguments], check=True)
    with (tree / "conf" / "experiment" / "v3_inverse_warmup.yaml").open("a") as file:
        file.write("optimizer:\n  lr: 2.1e-3\n")
    command = [sys.executable, str(tree / "scripts" / "golden.py"), "--only", "v0_scalar,v3_inverse_warmup"]
    done = subprocess.run([*command, "--against", "HEAD"], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "identical: v0_scalar\n" in done.stdout
    assert "1 of 3 runs identical to HEAD" in done.stdout
    assert "checkpoints/best-joint.ckpt: " in done.stdout
    assert "uninterrupted" not in done.stdout, "the resumed run is not as if uninterrupted"
