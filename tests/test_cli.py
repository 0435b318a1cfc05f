"""The command line as a person meets it: every bad input of the specification, then the commands on a finished run.

A refusal is one sentence and one hint on standard error, names the file and the row, and loses nothing.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from commands import Command, Said, assert_one_sentence
from safetensors.torch import load_file
from tiny import chat_rows, review_rows, write_csv, write_jsonl

import tuneproof as tp
from tuneproof.prepare.fingerprint import digest
from tuneproof.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def tune(command: Command, tiny_bert: Path, tiny_llama: Path) -> Command:
    """``tune(file, ...)`` with the tiny model that fits the file's name."""

    def run(file: Path | str, *arguments: object) -> Said:
        model = tiny_llama if str(file).endswith("jsonl") else tiny_bert
        named = [] if "--model" in arguments else ["--model", model]
        return command("tune", file, *named, "--set", "train.threads=1", *arguments)

    return run


def csv_text(rows: int = 60) -> str:
    return "text,label\r\n" + "".join(f"{row['text']},{row['label']}\r\n" for row in review_rows(rows))


def chat_lines(rows: int = 40) -> list[str]:
    return [json.dumps(row) + "\n" for row in chat_rows(rows)]


# -- bad data. name -> file name, its bytes, options, words that the sentence must hold

GOOD = csv_text()
BROKEN_17 = "".join([*chat_lines()[:16], '{"messages": [\n', *chat_lines()[16:]])
MONOLOGUE = "".join(json.dumps({"messages": [{"role": "user", "content": f"hello {n}"}]}) + "\n" for n in range(40))
HALF_LABELLED = "text,label\n" + "".join(
    f"{row['text']},{row['label'] if n % 2 else ''}\n" for n, row in enumerate(review_rows(60))
)
LONG = "lovely " * 300
BAD_DATA: dict[str, tuple[str, str | bytes, list[str], list[str]]] = {
    "an empty file": ("a.csv", "", [], ["a.csv", "empty"]),
    "a header only": ("a.csv", "text,label\n", [], ["a.csv", "line 1", "row"]),
    "an unknown text column": ("a.csv", GOOD, ["--text", "txet"], ["txet", "text"]),
    "an unknown label column": ("a.csv", GOOD, ["--label", "lable"], ["lable", "label"]),
    "an unknown group column": ("a.csv", GOOD, ["--group", "user"], ["user"]),
    "one class only": ("a.csv", GOOD.replace("negative", "positive"), [], ["a.csv", "positive", "class"]),
    "a class with one row": ("a.csv", GOOD + "quite a lamp,positve\r\n", [], ["line 62", "positve"]),
    "labels missing in half of the rows": ("a.csv", HALF_LABELLED, [], ["a.csv", "30 of 60", "label", "max_missing"]),
    "a row longer than the model": ("a.csv", GOOD + f"{LONG},positive\r\n", [], ["a.csv", "line 62", "--too-long"]),
    "not UTF-8 in one row": (
        "a.csv",
        GOOD.encode() + "très déçu du café,negative\r\n".encode() + b"caf\xe9 lamp,positive\r\n",
        [],
        ["a.csv", "line 63", "UTF-8"],
    ),
    "broken JSON on line 17": ("a.jsonl", BROKEN_17, [], ["a.jsonl", "line 17", "JSON"]),
    "no assistant turn": ("a.jsonl", MONOLOGUE, [], ["a.jsonl", "line 1", "assistant"]),
    "an unknown task": ("a.csv", GOOD, ["--task", "text-clasification"], ["text-clasification", "text-classification"]),
    "an unknown method": ("a.csv", GOOD, ["--method", "lorra"], ["lorra", '"lora"']),
    "an unknown model": ("a.csv", GOOD, ["--model", "minilm-l7"], ["minilm-l7", '"minilm-l6"']),
    "a model folder that is not there": ("a.csv", GOOD, ["--model", "./nowhere"], ["nowhere"]),
    "a test file that is not there": ("a.csv", GOOD, ["--test", "tset.csv"], ["tset.csv"]),
    "an unknown option": ("a.csv", GOOD, ["--set", "train.lrr=1"], ["train.lrr", '"train.lr"']),
    "--set without a value": ("a.csv", GOOD, ["--set", "train.lr"], ["train.lr", "NAME=VALUE"]),
    "--set out of range": ("a.csv", GOOD, ["--set", "train.lr=-1"], ["train.lr", "-1"]),
    "--set of the wrong kind": ("a.csv", GOOD, ["--set", "train.batch_size=many"], ["train.batch_size", "many"]),
    "epochs that are no number": ("a.csv", GOOD, ["--epochs", "some"], ["train.epochs", "some"]),
    "an option without effect": (
        "a.csv",
        GOOD,
        ["--method", "full", "--set", "lora.rank=4"],
        ["lora.rank", "no effect"],
    ),
    "an option of another task": ("a.csv", GOOD, ["--set", "evaluate.answers=3"], ["evaluate.answers", "no effect"]),
    "two options that say the same": (
        "a.csv",
        GOOD,
        ["--method", "freeze", "--set", "freeze.layers=1:2", "--set", "freeze.top_layers=1"],
        ["freeze.top_layers", "twice"],
    ),
    "layers that the model has not": (
        "a.csv",
        GOOD,
        ["--method", "freeze", "--set", "freeze.layers=2:9"],
        ["2:9", "3 layers"],
    ),
    "more layers than the model has": (
        "a.csv",
        GOOD,
        ["--method", "freeze", "--set", "freeze.top_layers=9"],
        ["9", "3 layers"],
    ),
    "a limit beyond the model's": ("a.csv", GOOD, ["--set", "model.max_length=4096"], ["4096", "64"]),
    "a configuration file that is not there": ("a.csv", GOOD, ["--config", "run.toml"], ["run.toml"]),
}


@pytest.mark.parametrize("case", list(BAD_DATA))
def test_bad_input_is_one_sentence_and_loses_nothing(case: str, tune: Command, tmp_path: Path) -> None:
    name, content, options, words = BAD_DATA[case]
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    before = file.read_bytes()
    assert_one_sentence(tune(file, *options), *words)
    assert file.read_bytes() == before
    for run in Run.all(tmp_path / "runs"):  # what was begun is a run that can be listed and resumed
        assert run.asked["state"] in ("started", "prepared")


def test_a_missing_file(tune: Command, tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", review_rows(30))
    assert_one_sentence(tune("review.csv"), "review.csv", '"reviews.csv"')
    assert not (tmp_path / "runs").exists()


def test_a_folder_where_a_file_is_expected(tune: Command, tmp_path: Path) -> None:
    assert_one_sentence(tune(str(tmp_path)), "folder")


def test_bad_toml_names_the_file_and_the_place(tune: Command, reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[train]\nlr = \n")
    assert_one_sentence(tune(reviews, "--config", "run.toml"), "run.toml", "line 2")
    (tmp_path / "run.toml").write_text("[train]\nlearning_rate = 0.1\n")
    assert_one_sentence(tune(reviews, "--config", "run.toml"), "train.learning_rate")
    (tmp_path / "run.toml").write_text("[trian]\nlr = 0.1\n")
    assert_one_sentence(tune(reviews, "--config", "run.toml"), "trian", "train")


def test_an_unknown_flag_gets_the_nearest(command: Command, reviews: Path) -> None:
    said = command("tune", reviews, "--metod", "lora")
    assert said.code == 2 and "--metod" in said.err and "--method" in said.err and "Traceback" not in said.err
    said = command("tun", reviews)
    assert said.code == 2 and "'tun'" in said.err and "Traceback" not in said.err


# -- rows that are refused, cut, dropped, or missing in part: counted


@pytest.fixture
def long_rows(tmp_path: Path) -> Path:
    rows = [*review_rows(60), {"text": LONG, "label": "positive"}, {"text": LONG + "so", "label": "negative"}]
    return write_csv(tmp_path / "long.csv", rows)


def test_long_rows_are_cut_when_asked_and_counted(tune, long_rows: Path, tmp_path: Path) -> None:
    test = write_csv(tmp_path / "test.csv", review_rows(24, seed=9))
    said = tune(long_rows, "--too-long", "cut", "--test", test, "--set", "data.validation_share=0.05")
    assert said.code == 0, said.err
    run = next(iter(Run.all(tmp_path / "runs")))
    splits = run.read_json("data/tokens.json")["splits"]
    assert sum(split["rows_cut"] for split in splits.values()) == 2
    assert sum(split["tokens_cut"] for split in splits.values()) == 2 * 302 + 1 - 2 * 64 + 0, (
        "300 words and 2 around them"
    )
    assert max(split["tokens"]["max"] for split in splits.values()) == 64
    assert run.ledger.closes() and not run.ledger.dropped


def test_long_rows_are_dropped_when_asked_and_named(tune, long_rows: Path, tmp_path: Path) -> None:
    test = write_csv(tmp_path / "test.csv", review_rows(24, seed=9))
    said = tune(long_rows, "--too-long", "drop", "--test", test)
    assert said.code == 0, said.err
    ledger = next(iter(Run.all(tmp_path / "runs"))).ledger
    assert ledger.closes()
    assert {line for drop in ledger.dropped for line in drop.lines} == {62, 63}
    assert "longer than 64 tokens" in said.out


def test_some_missing_labels_are_counted_in_the_ledger(tune: Command, tmp_path: Path) -> None:
    rows = review_rows(60)
    for number in (3, 17, 40):
        rows[number]["label"] = ""
    said = tune(write_csv(tmp_path / "some.csv", rows))
    assert said.code == 0, said.err
    ledger = next(iter(Run.all(tmp_path / "runs"))).ledger
    assert ledger.closes() and sum(ledger.used.values()) == 57
    (drop,) = ledger.dropped
    assert (drop.reason, drop.rows, drop.lines) == ("no label", 3, (5, 19, 42))
    assert "no label" in said.out


def test_more_missing_labels_are_accepted_when_told(command: Command, tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "half.csv").write_text(HALF_LABELLED.replace(",positive", ",x").replace(",negative", ",y"))
    rows = review_rows(80)
    for number in range(0, 80, 3):
        rows[number]["label"] = ""
    file = write_csv(tmp_path / "third.csv", rows)
    options = ["--model", tiny_bert, "--set", "train.threads=1", "--set", "data.max_missing=0.4"]
    assert command("plan", file, *options).code == 0


# -- models that are refused


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("pytorch_model.bin", b"\x80\x04\x95", ["pytorch_model.bin"]),
        ("weights.txt", b"\x80\x04\x95cposix\nsystem\n.", ["weights.txt", "Python objects"]),
        ("modeling_tiny.py", b"import os", ["modeling_tiny.py"]),
    ],
)
def test_a_folder_with_a_pickle_or_a_program(tune, reviews, tiny_bert, tmp_path, name, content, words) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    (folder / name).write_bytes(content)
    assert_one_sentence(tune(reviews, "--model", folder), *words)


def changed_config(folder: Path, to: Path, **values: object) -> Path:
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**config, **values}))
    return to


def test_a_folder_with_remote_code(tune, reviews, tiny_bert, tmp_path) -> None:
    folder = changed_config(tiny_bert, tmp_path / "model", auto_map={"AutoModel": "modeling_x.X"})
    assert_one_sentence(tune(reviews, "--model", folder), "config.json", "auto_map")


def test_a_model_of_the_wrong_kind(tune, dialogues, tiny_bert, tmp_path) -> None:
    assert_one_sentence(tune(dialogues, "--model", tiny_bert), "encoder", "decoder", "models list")


def test_a_folder_without_a_model(tune, reviews, tmp_path) -> None:
    (tmp_path / "model").mkdir()
    assert_one_sentence(tune(reviews, "--model", tmp_path / "model"), "config.json")


def test_a_model_that_needs_more_memory_than_there_is(tune, reviews, tiny_bert, tmp_path) -> None:
    """Predicted from the configuration before anything is loaded: no weights of that size exist here."""
    folder = changed_config(tiny_bert, tmp_path / "huge", hidden_size=65536, num_hidden_layers=512)
    assert_one_sentence(tune(reviews, "--model", folder), "GiB", "memory")


def test_a_template_that_hides_the_answer_is_refused_by_a_check(tune, dialogues, tiny_llama, tmp_path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m['role'] }}{% endfor %}")
    assert_one_sentence(tune(dialogues, "--model", folder), "dialogues.jsonl, line ", "template", code=3)


# -- run directories


def test_a_run_directory_that_is_not_one(command: Command, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for verb in (["resume"], ["chat"], ["predict", "--input", "x.csv"]):
        assert_one_sentence(command(verb[0], "other", *verb[1:]), "other", "run.json")
        assert_one_sentence(command(verb[0], "nowhere", *verb[1:]), "nowhere", "tuneproof runs")


def test_a_damaged_run_directory(command: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"state": ')
    assert_one_sentence(command("resume", "run"), "run.json")


def test_predict_with_a_run_that_has_not_trained_yet(tune, command, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "runs", "begun", {"file": "a.csv"})
    file = write_csv(tmp_path / "a.csv", review_rows(4))
    assert_one_sentence(command("predict", run.path, "--input", file), "resume")


def test_a_file_that_was_refused_leaves_no_run_behind(tune, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,label\n")
    assert tune("a.csv").code == 2
    assert list(Run.all(tmp_path / "runs")) == []


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """``small_disk(64)``: a real file system of 64 KiB, or of another size when called again; root only."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def sized(kib: int) -> Path:
        nonlocal mounted
        options = f"size={kib}k" if not mounted else f"remount,size={kib}k"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("no file system can be mounted here")
        mounted = True
        return place

    yield sized
    if mounted:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("kib", [4, 12, 32, 64, 130, 250, 400, 560])
def test_no_space_on_disk_at_any_stage(kib: int, tune, command, small_disk, reviews: Path) -> None:
    """The sizes end in preparing, planning, training and saving; a run resumes where it got to once there is space.

    The weights have 150 KB, a checkpoint three times that: with 560 KiB some checkpoints fail and the run succeeds.
    """
    disk = small_disk(kib)
    said = tune(reviews, "--runs", disk / "runs", "--set", "train.validate_every=2")
    if kib == 560 and said.code == 0:
        assert "training goes on with the one before it" in said.out and not said.err
        return
    assert_one_sentence(said, "space")
    small_disk(16_384)
    begun = list(Run.all(disk / "runs"))
    said = command("resume", begun[0].path) if begun else tune(reviews, "--runs", disk / "runs")
    begun = list(Run.all(disk / "runs"))
    assert [run.asked["state"] for run in begun] == ["scored"]
    assert said.code == 0, said.err
    assert load_file(begun[0].path / "model" / "model.safetensors")


def test_a_place_that_cannot_be_written(tune, reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert_one_sentence(tune(reviews, "--runs", tmp_path / "file" / "runs"), "file", "--runs")


# -- the doctor


@pytest.fixture
def sick(tmp_path: Path) -> Path:
    """100 reviews, one of them twice with different labels, and one with an address and a card number."""
    rows = review_rows(100)
    rows += [{"text": "this lamp has a loose hinge", "label": label} for label in ("positive", "negative")]
    rows += [{"text": f"write to {MAIL} or charge {CARD}, the lamp is lovely", "label": "positive"}]
    return write_csv(tmp_path / "sick.csv", rows)


MAIL, CARD = "ann.smith@corp-example.net", "4111 1111 1111 1111"


def test_check_says_what_it_found_by_its_exit_code(command, tiny_bert, sick, tmp_path: Path) -> None:
    said = command("check", sick, "--model", tiny_bert, "--set", "train.threads=1")
    assert said.code == 2 and "One text with different labels" in said.out
    run = next(iter(Run.all(tmp_path / "runs")))
    assert run.asked["state"] == "checked" and run.data_page.is_file()
    found = [json.loads(line) for line in (run.data / "findings.jsonl").read_text(encoding="utf-8").splitlines()]
    conflict = [one for one in found if one["check"] == "conflicts"]
    assert {one["line"] for one in conflict} == {102, 103} and conflict[0]["severity"] == "error"
    report = run.read_json("data/report.json")
    ledger = report["ledger"]
    dropped = sum(drop["rows"] for drop in ledger["dropped"])
    assert sum(ledger["rows_in"].values()) == sum(ledger["used"].values()) + dropped == 103
    assert report["verdict"] == "errors" and report["tokens"]["train"]["rows"] == ledger["used"]["train"]


def test_a_clean_file_is_called_clean(command, tiny_bert, tmp_path: Path) -> None:
    words = ["amber", "brass", "cedar", "denim", "ebony", "flint", "glass", "hemp", "ivory", "jute"]
    texts = [f"{a} {b} {c}" for a in words for b in words for c in words if a < b < c]
    rows = [
        {"text": f"{text} {'is lovely' if n % 2 else 'fell apart'}", "label": str(n % 2)}
        for n, text in enumerate(texts)
    ]
    said = command("check", write_csv(tmp_path / "a.csv", rows), "--model", tiny_bert, "--set", "check.leakage=keep")
    report = next(iter(Run.all(tmp_path / "runs"))).read_json("data/report.json")
    assert said.code == {"clean": 0, "warnings": 1, "errors": 2}[report["verdict"]] and said.code < 2


def test_a_check_is_no_run_to_resume(command, tiny_bert, sick, tmp_path: Path) -> None:
    command("check", sick, "--model", tiny_bert)
    run = next(iter(Run.all(tmp_path / "runs")))
    assert_one_sentence(command("resume", run.path), "check", "data.html")


def test_redacted_values_stand_in_no_file_of_the_run(tune, sick, tmp_path: Path) -> None:
    said = tune(sick, "--redact", "--set", "train.epochs=1")
    assert said.code == 0, said.err
    run = next(iter(Run.all(tmp_path / "runs")))
    files = [file for file in run.path.rglob("*") if file.is_file()]
    assert len(files) > 12
    raw = digest({"text": f"write to {MAIL} or charge {CARD}, the lamp is lovely", "label": "positive"})
    held = [file for file in files if any(value.encode() in file.read_bytes() for value in (MAIL, CARD, raw))]
    found = [json.loads(line) for line in (run.data / "findings.jsonl").read_text(encoding="utf-8").splitlines()]
    ids = {table.columns["id"][at] for _, table in run.splits.items() for at in range(len(table))}
    personal = [one for one in found if one["check"] == "personal_data"]
    assert [one["line"] for one in personal] == [104] and personal[0]["id"] in ids
    texts = [text for _, table in run.splits.items() for text in table.columns["text"]]
    assert held == [] and not any(MAIL in text or CARD in text for text in texts)
    assert any("[EMAIL-" in text and "[CARD-" in text for text in texts)


def test_the_report_masks_what_is_personal(command, tiny_bert, sick, tmp_path: Path) -> None:
    said = command("check", sick, "--model", tiny_bert)
    run = next(iter(Run.all(tmp_path / "runs")))
    told = [run.data / name for name in ("report.json", "findings.jsonl", "data.html")]
    assert "Personal data" in said.out
    assert not [file for file in told if MAIL in file.read_text(encoding="utf-8") or CARD in file.read_text("utf-8")]


def test_a_person_decides_and_tune_obeys(tune, command, tiny_bert, sick, tmp_path: Path) -> None:
    review = tmp_path / "review.csv"
    command("check", sick, "--model", tiny_bert, "--review", review)
    with review.open(encoding="utf-8-sig", newline="") as content:
        names, *lines = csv.reader(content)
    where, what = names.index("decision"), names.index("line")
    assert {line[what] for line in lines} >= {"102", "103"}
    for line in lines:
        line[where] = "drop" if line[what] == "103" else ""
    with review.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([names, *lines])
    said = tune(sick, "--apply", review, "--set", "train.epochs=1")
    assert said.code == 0, said.err
    run = next(run for run in Run.all(tmp_path / "runs") if run.asked["state"] == "scored")
    assert [(drop.reason, drop.lines) for drop in run.ledger.dropped if "review" in drop.reason] == [
        ("dropped in review", (103,))
    ]


def test_the_rows_as_they_are_left_can_be_tuned_on(tune, command, tiny_bert, sick, tmp_path: Path) -> None:
    left = tmp_path / "left.jsonl"
    command("check", sick, "--model", tiny_bert, "--redact", "--fix", left)
    text = left.read_text(encoding="utf-8")
    assert MAIL not in text and "[EMAIL-" in text
    said = tune(left, "--model", tiny_bert, "--text", "text", "--label", "label", "--set", "train.epochs=1")
    assert said.code == 0, said.err


def test_several_files_are_one(tune, tmp_path: Path) -> None:
    rows = review_rows(120)
    one, other = write_csv(tmp_path / "one.csv", rows[:60]), write_csv(tmp_path / "other.csv", rows[60:])
    said = tune(one, other, "--set", "train.epochs=1")
    assert said.code == 0, said.err
    assert next(iter(Run.all(tmp_path / "runs"))).ledger.rows_in == {str(one): 60, str(other): 60}


# -- Ctrl-C


def test_ctrl_c_before_training_says_what_is_kept(tune, command, reviews: Path, tmp_path: Path, monkeypatch) -> None:
    from tuneproof.pipeline import ready

    real = ready.prepare

    def interrupted(*arguments: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(ready, "prepare", interrupted)
    said = tune(reviews)
    assert said.code == 130 and "Traceback" not in said.err + said.out
    assert "tuneproof resume" in said.out + said.err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    run = next(iter(Run.all(tmp_path / "runs")))
    assert command("resume", run.path).code == 0


def test_ctrl_c_in_a_real_process(reviews: Path, tiny_bert: Path, tmp_path: Path) -> None:
    """Piped output: the first report tells that training began. Twice, and resuming, is in tests/proof."""
    program = "import sys; from tuneproof.cli import main; main()"
    options = ["--model", str(tiny_bert), "--set", "train.threads=1", "--epochs", "900", "--set", "train.log_every=1"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "tune", str(reviews), *options, "--set", "train.patience=1000"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "default"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("train "):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Continue with: tuneproof resume runs/reviews-" in out
    assert "Traceback" not in err


# -- the commands on finished runs


@pytest.fixture
def texts() -> list[str]:
    return [row["text"] for row in review_rows(12, seed=5)]


def test_predict_prints_what_python_says(command, finished, texts, tmp_path: Path) -> None:
    path = finished("text-classification", "full")
    file = write_csv(tmp_path / "new.csv", [{"text": text} for text in texts])
    said = command("predict", path, "--input", file)
    assert said.code == 0, said.err
    lines = [json.loads(line) for line in said.out.splitlines()]
    python = tp.open(path).predict(texts)
    assert lines == [{"line": number, **answer} for number, answer in enumerate(python, start=2)]
    assert {line["label"] for line in lines} <= {"positive", "negative"}
    said = command("predict", path, "--input", file, "--output", "out.jsonl")
    assert said.code == 0 and "12" in said.out
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == lines


def test_predict_with_a_chat_model(command, finished, tmp_path: Path) -> None:
    path = finished("instruction", "lora")
    file = write_jsonl(tmp_path / "new.jsonl", chat_rows(6, seed=4))
    said = command("predict", path, "--input", file)
    assert said.code == 0, said.err
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert len(lines) == 6 and all(set(line) == {"line", "answer", "stopped"} for line in lines)


def test_predict_refuses_rows_without_text(command, finished, tmp_path: Path) -> None:
    path = finished("text-classification", "full")
    (tmp_path / "new.csv").write_text("text,id\na lovely lamp,1\n,2\n")
    assert_one_sentence(command("predict", path, "--input", "new.csv"), "new.csv", "line 3")
    (tmp_path / "new.csv").write_text("words,id\na lovely lamp,1\nan awful lamp,2\n")
    assert_one_sentence(command("predict", path, "--input", "new.csv"), "new.csv", "text")
    (tmp_path / "new.csv").write_text(f"text,id\na lovely lamp,1\n{LONG},2\n")
    assert_one_sentence(command("predict", path, "--input", "new.csv"), "64", "tokens")


def test_chat_remembers_and_ends_at_an_empty_line(command, finished, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("what is the sound of a cat\nand of a dog\n\n"))
    said = command("chat", finished("instruction", "full"))
    assert said.code == 0, said.err
    assert said.out.count("model: ") == 2


def test_chat_with_a_classifier_is_refused(command, finished) -> None:
    assert_one_sentence(command("chat", finished("text-classification", "full")), "does not chat", "predict")


def test_runs_lists_them_newest_first(command, finished, tmp_path: Path) -> None:
    first, second = finished("text-classification", "full"), finished("text-classification", "lora")
    said = command("runs", "--runs", first.parent)
    assert said.code == 0
    for path in (first, second):
        (line,) = [line for line in said.out.splitlines() if line.startswith(f"{path}\t")]
        assert "scored" in line and "reviews.csv" in line
    assert "No runs" in command("runs", "--runs", tmp_path).out


def test_resume_of_a_finished_run(command, finished) -> None:
    run = finished("text-classification", "full")
    (run / "ckpt" / "step-00000001").mkdir(parents=True)  # as a process leaves it that ends right after scoring
    said = command("resume", run)
    assert said.code == 0 and "is finished" in said.out and not (run / "ckpt").exists()


def test_options_lists_every_one_with_its_help(command) -> None:
    from tuneproof.config import describe, names

    said = command("options")
    lines = said.out.splitlines()
    assert said.code == 0 and len(lines) == len(names())
    for name, line in zip(names(), lines, strict=True):
        assert line.startswith(name) and describe(name) and line.endswith(describe(name))


def test_models_list_and_check(command, tiny_bert: Path) -> None:
    from tuneproof.sources import CATALOG

    said = command("models", "list")
    assert said.code == 0 and all(name in said.out for name in CATALOG)
    said = command("models", "check", tiny_bert)
    assert said.code == 0 and "model.safetensors" in said.out


def without_heavy_imports(arguments: Sequence[str], folder: Path) -> Said:
    """The command in a process that must not import what takes seconds."""
    code = (
        f"import sys; sys.argv = ['tuneproof', *{list(arguments)!r}]\n"
        "from tuneproof.cli import main\n"
        "try: main()\n"
        "finally:\n"
        "    heavy = {'torch', 'transformers', 'peft', 'polars', 'numpy', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "    assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("arguments", [("--help",), ("tune", "--help")])
def test_help_answers_without_the_heavy_imports(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """What makes it quick. The figure itself is measured by a benchmark, as a test machine may be busy."""
    said = without_heavy_imports(arguments, tmp_path)
    assert said.code == 0 and "Usage" in said.out, said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("tune", "nowhere.csv"),
        ("plan", "here.csv", "--test", "nowhere.csv"),
        ("check", "here.csv", "nowhere.csv"),
        ("resume", "nowhere"),
        ("eval", "nowhere"),
        ("predict", "nowhere", "--input", "here.csv"),
        ("chat", "nowhere"),
        ("serve", "nowhere"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_told_without_the_heavy_imports(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """A name that was mistyped: half a second, where PyTorch alone takes ten."""
    (tmp_path / "here.csv").write_text("text,label\na,b\n")
    assert_one_sentence(without_heavy_imports(arguments, tmp_path), "there is no", "nowhere")


# -- from Python


def test_python_tune_plan_open_and_resume(reviews: Path, tiny_bert: Path, tmp_path: Path, texts: list[str]) -> None:
    options = {"model_name": str(tiny_bert), "train_threads": 1, "method_name": "freeze"}
    made = tp.plan(reviews, **options)
    assert made["settings"]["method.name"] == {"value": "freeze", "reason": "you asked for it", "by": "you"}
    assert not (tmp_path / "runs").exists()
    tuned = tp.tune(reviews, runs=tmp_path / "runs", **options)
    assert tuned.report.is_file() and (tuned.model / "model.safetensors").is_file()
    assert tuned.scores["systems"][0]["kind"] == "tuned"
    answers = tuned.predict(texts)
    for other in (tp.open(tuned.run.path), tp.resume(tuned.run.path)):
        assert other.predict(texts) == answers
    assert tuned.predict([{"text": texts[0]}])[0] == tuned.predict(texts[:1])[0]
    assert tuned.predict([]) == []


def test_python_raises_the_same_errors(reviews: Path, tmp_path: Path) -> None:
    from tuneproof.errors import ConfigError, DataError, RunError

    with pytest.raises(ConfigError, match=r"train\.lrr"):
        tp.tune(reviews, train_lrr=1)
    with pytest.raises(DataError, match="no file"):
        tp.tune(tmp_path / "none.csv")
    with pytest.raises(RunError):
        tp.open(tmp_path)
