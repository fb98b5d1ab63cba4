"""Commands that somebody ends: one line and the status of the signal, also while they import."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gainkt.errors import Terminated
from gainkt.interruption import ended_in_one_line, interruptible

SAID = {signal.SIGINT: "gainkt: interrupted\n", signal.SIGTERM: "gainkt: terminated (SIGTERM)\n"}


@pytest.mark.parametrize("number", SAID)
@pytest.mark.parametrize("command", [("gainkt.predict", "run=x"), ("gainkt", "inspect", "x")])
def test_a_command_that_still_imports(tmp_path: Path, command: tuple[str, ...], number: signal.Signals) -> None:
    # A pandas that takes long to import, and says when it has begun.
    (tmp_path / "pandas.py").write_text(f"import time\nopen({str(tmp_path / 'begun')!r}, 'w')\ntime.sleep(60)\n")
    places = os.pathsep.join([str(tmp_path), *sys.path])
    started = subprocess.Popen(
        [sys.executable, "-m", *command], stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": places}
    )
    while not (tmp_path / "begun").exists() and started.poll() is None:
        time.sleep(0.01)
    started.send_signal(number)
    said = started.communicate(timeout=60)[1]
    assert (said, started.returncode) == (SAID[number], 128 + number)


def end(number: signal.Signals) -> None:
    """Be sent a signal at work; note how the work goes on."""
    try:
        os.kill(os.getpid(), number)
        time.sleep(10)
    except KeyboardInterrupt as interruption:
        interruption.add_note("the same command goes on")
        raise


@pytest.mark.parametrize("number", SAID)
def test_a_command_at_work(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, ended_in_one_line():
        end(number)
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == f"{SAID[number].strip()}; the same command goes on\n"


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), interruptible():
        end(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
