import subprocess
import sys
from pathlib import Path

import pytest
from run_script import run_script

from gainkt.__main__ import main
from gainkt.data.readers import read_log

SCRIPT = Path(__file__).parents[1] / "scripts" / "prepare_data.py"


@pytest.fixture
def run(tmp_path):
    def call(*arguments):
        return run_script(SCRIPT, *arguments, cwd=tmp_path)

    return call


def test_csv_to_log_and_table(run, tmp_path):
    (tmp_path / "a.csv").write_text("uid,kc,ok,q\n1,x,1,7\n1,y,1,7\n1,x,0,8\n")
    done = run("csv", "a.csv", "out/log", "--student", "uid", "--skill", "kc", "--correct", "ok", "--item", "q")
    assert done.returncode == 0, done.stderr
    log = read_log(tmp_path / "out" / "log")
    assert log.num_steps == 2
    for shown in ("50.0%", log.digest, "steps with several skills"):
        assert shown in done.stdout

    again = run("csv", "a.csv", "out/log")
    assert again.returncode == 1
    where = tmp_path / "out" / "log"
    assert again.stderr == f"gainkt: error: {where}: exists already; remove it or choose another folder for the log\n"


def test_errors_take_one_line(tmp_path):
    """In a process of its own, as a user starts it."""
    (tmp_path / "a.csv").write_text("student,skill,correct\n1,x,2\n1,y,1\n")
    command = [sys.executable, str(SCRIPT), "csv", "a.csv", "log"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "gainkt: error: a.csv: line 2: response is '2', not 0 or 1 (1 of 2 rows: '2' in 1); numbers up to 2 are no "
        "share of 1 (points or percent? divide them); correct them, or say what the words mean: "
        "'dataset.read.responses={2:?}' (null leaves such rows out)\n"
    )
    assert done.stdout == ""
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(("form", "folder"), [("pykt", "assist2015_pykt"), ("akt", "assist2009_akt")])
def test_real_data(run, shared_data, tmp_path, form, folder):
    done = run(form, shared_data / folder, "log")
    assert done.returncode == 0, done.stderr
    assert read_log(tmp_path / "log").name == folder


def test_settings_that_are_no_text(run, tmp_path):
    (tmp_path / "a.csv").write_text("student,skill,correct,date\n1,x,0.6,2\n1,y,1,1\n1,x,0,3\n")
    settings = ("--partial", "threshold", "--threshold", "0.6", "--order", "false")
    done = run("csv", "a.csv", "log", *settings)
    assert done.returncode == 0, done.stderr
    assert read_log(tmp_path / "log").responses.tolist() == [1, 1, 0]


def test_the_command_and_how_to_go_on(tmp_path, monkeypatch, capsys):
    source, target = tmp_path / "a b(1).csv", tmp_path / "my log"
    source.write_text("student,skill,correct\n1,x,1\n1,y,0\n2,x,1\n")
    main(["prepare", f"dataset.path={source}", f"output={target}"])
    assert f"python -m gainkt.train dataset=log 'dataset.path={target}'" in capsys.readouterr().out
    assert read_log(target).num_steps == 3
