"""Run a script of scripts/ in this process, which has loaded what a process of its own takes seconds to load."""

import io
import runpy
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest


def run_script(script: Path, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it as `python script arguments`: exit status, output and errors."""
    out, err = io.StringIO(), io.StringIO()
    command = [str(script), *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch, chdir(cwd or Path.cwd()), redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        patch.syspath_prepend(str(script.parent))
        status: object = 0
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    if not isinstance(status, int):  # a message
        err.write(f"{status}\n")
    return subprocess.CompletedProcess(
        command, status if isinstance(status, int) else 1, out.getvalue(), err.getvalue()
    )
