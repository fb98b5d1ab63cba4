"""Data sets by name, from a few made-up rows in the layout of each owner's files; and looking before reading."""

import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

import gainkt
from conftest import composed
from gainkt.arguments import quote_text
from gainkt.config import build, check_keys
from gainkt.data.readers import EdnetReader, EediReader
from gainkt.errors import DataError
from gainkt.inspect import inspect
from gainkt.inspect import main as inspection_command

KDD = "Row\tAnon Student Id\tProblem Name\tStep Name\tFirst Transaction Time\tCorrect First Attempt\tKC({})\n"
STEPS = (
    'a\tP1\t3(x+2) = "15"\t2005-09-09 12:24:35.0\t1\tadd~~multiply\n',
    "a\tP1\t3x = 9\t2005-09-09 12:24:31.0\t0\tdivide\n",
    "a\tP2\tx\t2005-09-09 12:25:35.0\t0\t\n",
    "b\tP1\t3x = 9\t2005-09-09 12:24:35.0\t1\tdivide\n",
    "b\tP2\tx\t2005-09-09 12:26:35.0\t1\tadd\n",
)
DATASHOP = "Row\tAnon Student Id\tProblem Name\tStep Name\tFirst Transaction Time\tFirst Attempt\tKC (F2011)\n"
KDD_ROWS = "".join(f"{number}\t{row}" for number, row in enumerate(STEPS))
LAYOUTS = {
    "assist2009": (
        "skill_builder_data_corrected.csv",
        "order_id,user_id,problem_id,correct,skill_id,skill_name\n"
        "9,7,51,1,10,Caf\xe9\n9,7,51,1,11,Box\n8,7,50,0,10,Mean\n10,7,52,1,,\n5,8,50,0,10,Mean\n6,8,51,1,10,x\n6,8,51,1,11,x\n",
        (2, 4, 2, 2),
    ),
    "assist2012": (
        "2012-2013-data-with-predictions-4-final.csv",
        "problem_log_id,problem_id,user_id,start_time,correct,skill_id\n"
        "1,51,7,2012-09-28 15:11:37.0,1,10\n2,52,7,2012-09-28 15:10:37.0,0,10\n"
        "3,51,8,2012-09-28 15:11:37,.25,10\n4,51,8,2012-09-28 15:12:37,1,\n"
        "5,51,8,2012-09-28 15:13:37,1,11\n",
        (2, 3, 2, 2),
    ),
    "assist2015": (
        "2015_100_skill_builders_main_problems.csv",
        "user_id,log_id,sequence_id,correct\n7,5,6921,1\n7,4,6921,0\n7,6,6922,.5\n8,9,6921,1\n",
        (2, 3, 1, 0),
    ),
    "assist2017": (
        "anonymized_full_release_competition_dataset.csv",
        "studentId,skill,problemId,startTime,correct\n8,noskill,7,1096470301,0\n8,area,8,1096470350,1\n9,area,8,1096470350,1\n",
        (2, 3, 2, 2),
    ),
    "algebra2005": ("algebra_2005_2006_train.txt", KDD.format("Default") + KDD_ROWS, (2, 4, 3, 3)),
    "bridge2006": ("bridge_to_algebra_2006_2007_train.txt", KDD.format("SubSkills") + KDD_ROWS, (2, 4, 3, 3)),
    "statics2011": (
        "AllData_student_step_2011F.csv",
        DATASHOP
        + KDD_ROWS.replace("\t1\t", "\tcorrect\t").replace("\t0\t\n", "\thint\t\n").replace("\t0\t", "\tincorrect\t"),
        (2, 4, 3, 3),
    ),
    "junyi2015": (
        "junyi_ProblemLog_original.csv",
        "user_id,exercise,time_done,correct\n1,angles_1,1420714810324490,true\n1,angles_2,1420714810324400,false\n2,angles_1,5,true\n",
        (2, 3, 2, 0),
    ),
}


def read(dataset: str, path: Path, **settings: object):
    """Read as `dataset=<name> dataset.path=<path>` does."""
    node = composed("train", f"dataset={dataset}").dataset.read
    OmegaConf.set_struct(node, False)
    node = OmegaConf.merge(node, settings)
    check_keys(OmegaConf.create({"read": node}))
    return build(node)(path)


@pytest.mark.parametrize("dataset", sorted(LAYOUTS))
@pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])
def test_owners_files(tmp_path, dataset, folder):
    name, text, expected = LAYOUTS[dataset]
    (tmp_path / name).write_text(text, encoding="latin-1")
    log = read(dataset, tmp_path if folder else tmp_path / name)
    assert (log.num_students, log.num_steps, log.num_skills, log.num_items) == expected
    assert log.name == dataset
    assert log.account["rows"] == text.count("\n") - 1


def test_orders_words_and_multiple_skills_of_steps(tmp_path):
    name, text, _ = LAYOUTS["statics2011"]
    (tmp_path / name).write_text(text)
    log = read("datashop", tmp_path / name, skill="KC (F2011)", missing="drop")
    assert log.responses.tolist() == [0, 1, 1, 1]
    assert log.skill_names[log.skills].tolist() == ["divide", "add", "multiply", "divide", "add"]
    assert 'P1/3(x+2) = "15"' in log.item_names


def test_ednet(tmp_path):
    (tmp_path / "KT1").mkdir()
    header = "timestamp,solving_id,question_id,user_answer,elapsed_time\n"
    (tmp_path / "KT1" / "u10.csv").write_text(header + "3,2,q2,b,9\n1,1,q1,a,9\n")
    (tmp_path / "KT1" / "u2.csv").write_text(header + "5,1,q3,,9\n6,2,q1,c,9\n7,2,q2,b,9")
    with pytest.raises(DataError, match=r"questions\.csv, which says which is right"):
        EdnetReader()(tmp_path / "KT1")
    (tmp_path / "contents").mkdir()
    questions = "question_id,bundle_id,correct_answer,part,tags\nq1,b,a,1,1;2\nq2,b,c,1,7\nq3,b,a,1,-1\n"
    (tmp_path / "contents" / "questions.csv").write_text(questions)
    with pytest.raises(DataError, match=r"u2\.csv: line 2: .*1 without skill, 1 without response"):
        EdnetReader()(tmp_path / "KT1")
    log = EdnetReader(missing="drop")(tmp_path)
    assert log.students.tolist() == ["u2", "u10"]
    assert log.responses.tolist() == [0, 0, 1, 0]
    assert log.skill_names.tolist() == ["1", "2", "7"]


def test_eedi(tmp_path):
    for name, text in {
        "data/train_task_3_4.csv": "QuestionId,UserId,AnswerId,IsCorrect\n1,5,10,1\n2,5,11,0\n1,6,12,1\n",
        "metadata/question_metadata_task_3_4.csv": 'QuestionId,SubjectId\n1,"[3, 71, 98]"\n2,"[3, 71, 99, 100]"\n',
        "metadata/answer_metadata_task_3_4.csv": "AnswerId,DateAnswered\n"
        "10,2020-02-01 00:00:00.000\n11,2020-01-01 00:00:00.000\n12,2020-01-01\n",
        "metadata/subject_metadata.csv": "SubjectId,Name,Level\n3,Maths,0\n71,x,1\n98,y,2\n99,z,2\n100,w,2\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    log = EediReader()(tmp_path)
    assert log.responses.tolist() == [0, 1, 1]
    assert log.skill_names[log.skills].tolist() == ["99", "100", "98", "98"]


def test_xes3g5m_and_published_counts(tmp_path, caplog):
    (tmp_path / "question_level").mkdir()
    rows = 'fold,uid,questions,concepts,responses\n0,4,"9,5","1_2,3","1,0"\n'
    (tmp_path / "question_level" / "train_valid_sequences_quelevel.csv").write_text(rows)
    (tmp_path / "question_level" / "test_quelevel.csv").write_text(rows.replace("0,4", "-1,8"))
    log = read("xes3g5m", tmp_path)
    assert log.folds.tolist() == [0, -1]
    assert log.account["differs"]["students"] == [2, 18066]
    assert "2 students (18,066 published)" in caplog.text


def test_inspect_proposes_what_reads(tmp_path):
    plain = pd.read_csv(Path(__file__).parent / "cases" / "plain.csv")
    table = plain.rename(columns={"student": "User ID", "skill": "topic", "correct": "score", "order_id": "timestamp"})
    table["score"] = table.score.map({1: "richtig", 0: "falsch"})
    table.to_csv(tmp_path / "a b.csv", index=False)
    found = inspect(tmp_path / "a b.csv")
    assert found.log is None
    assert any("'richtig' in 675" in problem for problem in found.problems)
    table["score"] = table.score.map({"richtig": "Right", "falsch": "Wrong"})
    table.to_csv(tmp_path / "a b.csv", index=False)
    found = inspect(tmp_path / "a b.csv")
    assert found.log is not None
    assert found.log.num_steps == 983
    assert "'dataset.read.student=User ID'" in found.command
    assert "dataset.read.order=timestamp" in found.command
    unknown = plain.rename(columns={"skill": "zzz"})
    unknown.to_csv(tmp_path / "u.csv", index=False)
    assert any(
        "which column is the skill cannot be told" in problem for problem in inspect(tmp_path / "u.csv").problems
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("{2:1,1:0}", {"2": 1, "1": 0}),
        ("{'2':1,\"1\":0}", {"2": 1, "1": 0}),
        ("{'1,0':1.0,'0,0':0.0}", {"1,0": 1.0, "0,0": 0.0}),
        ("{100%: 1, -1: null}", {"100%": 1, "-1": None}),
        ("{sí:1,\"it's\":0,don\\'t:0.5}", {"sí": 1, "it's": 0, "don't": 0.5}),
        ("{PASS - ok:1,fail:0,'a:b':0}", {"PASS - ok": 1, "fail": 0, "a:b": 0}),
        ("{Yes:1,No:0}", {"Yes": 1, "No": 0}),
        ("null", {}),
    ],
)
def test_what_any_word_means_can_be_typed(typed: str, meant: dict[str, float | None]) -> None:
    cfg = composed("train", "dataset=csv", "dataset.path=x", *quote_text([f"dataset.read.responses={typed}"]))
    check_keys(cfg)
    reader = build(cfg.dataset.read)
    assert {str(word): value for word, value in reader.meanings.items()} == meant


def test_what_cannot_be_told_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Columns of names that say nothing: looking goes on with what is given, and the command has it."""
    rows = [f"{s},{'ab'[t % 2]},{(s * t) % 2}" for s in range(30) for t in range(5)]
    path = tmp_path / "élèves.csv"
    path.write_text("\n".join(["élève,compétence %,juste?", *rows]))
    assert inspect(path).log is None
    given = {"student": "élève", "skill": "compétence %", "correct": "juste?"}
    finding = inspect(path, **given)
    assert finding.log is not None
    assert (finding.log.num_students, finding.log.num_skills, finding.log.num_steps) == (30, 2, 150)
    assert finding.settings == given
    typed = [f"dataset.read.{key}={column}" for key, column in given.items()]
    monkeypatch.setattr(sys, "argv", ["gainkt inspect", str(path), *typed])
    inspection_command()
    assert "dataset.read.skill=compétence %" in capsys.readouterr().out
    for wrong, status, said in (
        (["dataset.read.studnt=x"], 1, "studnt: no such setting"),
        (["student=x"], 2, "usage"),
        (["dataset.read.student=x", *typed[1:]], 1, "no column 'x'"),
    ):
        monkeypatch.setattr(sys, "argv", ["gainkt inspect", str(path), *wrong])
        with pytest.raises(SystemExit) as end:
            inspection_command()
        assert end.value.code == status
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("column", ["true", "null", "nan", "inf", ".5", "1e3", "a,b", "[x]", "it's"])
def test_a_column_is_its_name_whatever_the_grammar_would_make_of_it(tmp_path: Path, column: str) -> None:
    rows = [{"student": s, column: f"k{t % 2}", "correct": (s * t) % 2} for s in range(20) for t in range(4)]
    path = tmp_path / "odd.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    finding = inspect(path, skill=column)
    words = shlex.split(finding.command)
    typed = quote_text(words[words.index("dataset=csv") :])
    assert composed("train", *typed).dataset.read.skill == column
    assert finding.log is not None
    assert build(composed("train", *typed).dataset).log_.digest == finding.log.digest


def test_a_setting_that_is_proposed_can_be_used(tmp_path: Path) -> None:
    """The words that a refusal lists, and the command of `inspect`, typed as they stand."""
    rows = [f"u{s},k{t},{answer}" for s in range(20) for t, answer in enumerate(['"1,0"', '"0,0"', '"1,0"', '"0,0"'])]
    path = tmp_path / "odd words.csv"
    path.write_text("\n".join(["student,skill,correct", *rows]))
    finding = inspect(path)
    assert finding.log is not None
    words = shlex.split(finding.command)
    typed = quote_text(words[words.index("dataset=csv") :])
    datamodule = build(composed("train", *typed).dataset)
    assert datamodule.log_.digest == finding.log.digest
    with pytest.raises(DataError) as caught:
        gainkt.read(path)
    proposed = next(word for word in shlex.split(str(caught.value)) if word.startswith("dataset.read.responses="))
    assert build(composed("train", "dataset=csv", *quote_text([f"dataset.path={path}", proposed])).dataset).log_


def test_plain_text_is_quoted_before_hydra_sees_it():
    given = [
        "dataset.path=plain (1).csv",
        "dataset.path=a=b/c",
        "dataset.read.skill=KC(Default)",
        "experiment=v4_belief",
    ]
    assert quote_text(given) == [
        "dataset.path='plain (1).csv'",
        "dataset.path='a=b/c'",
        "dataset.read.skill='KC(Default)'",
        "experiment=v4_belief",
    ]
    kept = ["dataset.read.order=null", "dataset.read.item=[a,b]", "dataset.path='x y'", "dataset.read.separator=_"]
    assert quote_text(kept) == kept
    assert quote_text(["-m", "dataset.path=a,b"]) == ["-m", "dataset.path=a,b"]
    assert quote_text(["dataset.path=~/x.csv"]) == [f"dataset.path={Path.home()}/x.csv"]
    lists = ["runs=[runs é/a,runs é/b]", "run=[a,b c]", "run=[a,b]", "runs=['x y',b]", "run=[]"]
    assert quote_text(lists) == [
        "runs=['runs é/a','runs é/b']",
        "run=[a,'b c']",
        "run=[a,b]",
        "runs=['x y',b]",
        "run=[]",
    ]
    for name in ("1e5", "1_000", "007", "[z]", "{a: b}", "${oc.env:HOME}", "it's", 'say "hi"', "é", "(z)", "a,b"):
        assert composed("trajectory", "run=x", *quote_text([f"student={name}"])).student == name
    assert quote_text(["student=null", "student='x y'"]) == ["student=null", "student='x y'"]
    for text in ("日本/データ.csv", "it's", "~~", "back\\", "a\\'b", "1"):
        assert composed("train", *quote_text([f"dataset.path={text}", "dataset=csv"])).dataset.path == text
