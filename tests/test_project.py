"""What strangers find at the top of the checkout, and that the versions they install are pinned."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_dependency_is_pinned() -> None:
    pinned = {
        line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [
        *PROJECT["build-system"]["requires"],
        *PROJECT["project"]["dependencies"],
        *(w for extra in extras for w in extra),
    ]
    names = {re.split(r"[<>=\[ ]", entry)[0].lower() for entry in wanted} - {"gainkt"}
    assert names <= pinned, names - pinned


def test_a_demo_installs_what_running_needs_and_no_more() -> None:
    def commands(target: str) -> str:
        dry = ["make", "--dry-run", "--always-make", target]
        return subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "--editable '.[report]'" in commands("demo")
    assert "[dev]" not in commands("demo")
    assert "[dev]" in commands("test")
    listed = commands("help") and subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"make ([a-z-]+)", listed)) == set(targets)


def test_continuous_integration_runs_make_test_on_every_python_that_is_promised() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]["tests"]
    promised = [c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if "Python :: 3." in c]
    assert job["strategy"]["matrix"]["python"] == promised
    assert any(step.get("run", "").startswith("make test") for step in job["steps"])
    assert "make test" in (ROOT / ".ci/run").read_text()
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "mypy"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"] == PROJECT["project"]["license"] == "MIT"


def test_only_the_note_in_outputs_is_kept() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    ignored = ["git", "check-ignore", "outputs/README.md", "outputs/name/run/config.yaml"]
    done = subprocess.run(ignored, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["outputs/name/run/config.yaml"]
    assert (ROOT / "outputs/README.md").is_file()
