"""scripts/attack.py: its verdicts, that it finds what it should, and a short attack."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import attack
from attack import ATTACKS, DamagedLog, DamagedReference, Stage, forked
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError


def raises(error: Exception) -> None:
    raise error


def test_ends_of_forked_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert forked(lambda: {"a": [1]}, tmp_path).value == {"a": [1]}
    assert forked(lambda: raises(ConfigError("mine")), tmp_path).said == "mine"
    for error in (KeyError("x"), ValueError("no way out"), ConfigError("")):
        assert forked(lambda error=error: raises(error), tmp_path).verdict == "failed"
    assert forked(lambda: os.kill(os.getpid(), signal.SIGKILL), tmp_path).verdict == "killed"
    assert forked(lambda: os._exit(3), tmp_path).verdict == "failed"
    monkeypatch.setattr(attack, "PATIENCE", 0.2)
    assert "hangs" in forked(signal.pause, tmp_path).said
    assert [path.name for path in tmp_path.iterdir()] == ["output.txt"]


def test_what_is_not_guarded_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(0, tmp_path)
    kinds = (DamagedLog, DamagedReference)
    guarded = {kind(stage).trial()[0] for kind in kinds for _ in range(12)}
    assert guarded <= {"exact", "clean"}
    monkeypatch.setattr("gainkt.data.log.seal_of", lambda meta, arrays: meta.get("seal", "same"))
    monkeypatch.setattr(attack, "content", lambda log: InteractionLog.digest.func(log))
    assert "silent" in {DamagedLog(stage).trial()[0] for _ in range(24)}


@pytest.mark.slow
def test_three_minutes_of_every_attack() -> None:
    table, worst = attack.attack(3, 0, ATTACKS)
    assert not worst
    assert table.set_index("attack").loc["all", "trials"] >= len(ATTACKS)
