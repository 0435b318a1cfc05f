"""The run directory: whole files or none, lines that can be tailed, one process at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneproof.errors import ResourceError, RunError
from tuneproof.records import Drop, Ledger, Schema, Splits, Table
from tuneproof.run import Run, as_os_error, disk_errors, write_atomically


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "runs", "My reviews (2)", {"file": "my.csv"})


def test_names_are_made_for_a_file_system(run: Run, tmp_path: Path) -> None:
    assert run.id.startswith("my-reviews-2-") and run.asked["state"] == "started"
    for name, stem in (
        ("../../etc", "etc"),
        ("", "run"),
        ("Überprüfung", "berpr-fung"),
        (".", "run"),
        ("a" * 99, "a" * 40),
    ):
        made = Run.create(tmp_path / "runs", name, {})
        assert made.path.parent == tmp_path / "runs" and made.id.rpartition("-")[0] == stem


def test_two_of_one_name_are_two(run: Run, tmp_path: Path) -> None:
    assert Run.create(tmp_path / "runs", "My reviews (2)", {}).path != run.path


def test_open_refuses_what_is_none(tmp_path: Path, run: Run) -> None:
    assert Run.open(run.path).id == run.id
    with pytest.raises(RunError, match="no run directory"):
        Run.open(tmp_path / "none")
    with pytest.raises(RunError, match="not a run directory"):
        Run.open(tmp_path)


def test_a_mark_keeps_what_was_asked(run: Run) -> None:
    run.mark("prepared", seconds={"prepare": 1.0})
    assert (
        run.asked["state"] == "prepared" and run.asked["file"] == "my.csv" and run.asked["seconds"] == {"prepare": 1.0}
    )


VALUES = st.one_of(st.text(st.characters(codec="utf-8"), max_size=20), st.none())
NESTED = st.lists(
    st.dictionaries(st.sampled_from(["role", "content"]), st.text(st.characters(codec="utf-8"), max_size=9))
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(VALUES, NESTED), min_size=1, max_size=8))
def test_tables_come_back_as_they_were(tmp_path: Path, rows: list[tuple[str | None, list[dict[str, str]]]]) -> None:
    table = Table(
        {"text": [a for a, _ in rows], "messages": [b for _, b in rows]}, [n + 2 for n in range(len(rows))], "a.csv"
    )
    empty = Table({"text": [], "messages": []}, [], "a.csv")
    schema = Schema("instruction", "messages", {"messages": "m"}, ("a", "b"), None, ("because",))
    ledger = Ledger({"a.csv": len(rows) + 2}, {"train": len(rows)}, (Drop("empty", 2, (8, 9), "a.csv"),), ("note",))
    run = Run.create(tmp_path / "runs", "x", {})
    run.write_data(Splits(table, empty, table), schema, ledger, {"files": {}})
    assert (run.schema, run.ledger) == (schema, ledger)
    for name, expected in (("train", table), ("validation", empty), ("test", table)):
        found = getattr(run.splits, name)
        assert {key: list(values) for key, values in found.columns.items()} == dict(expected.columns)
        assert list(found.lines) == list(expected.lines) and found.source == "a.csv"


def test_data_without_its_manifest_does_not_exist(run: Run) -> None:
    assert not run.has_data
    with pytest.raises(RunError, match="no prepared data"):
        _ = run.splits


def test_metrics_are_lines_at_once(run: Run) -> None:
    run.append_metrics({"step": 1, "loss": 0.5})
    assert (run.path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 0.5}\n'
    run.append_metrics({"step": 2, "loss": 0.25})
    assert run.metrics() == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


def test_a_line_ends_where_a_line_feed_stands_and_nowhere_else(run: Run) -> None:
    for text in ("x\u2028y", "x\x85y", "x\x1cy"):
        run.append_line("answers.jsonl", {"pred": text})
    assert [line["pred"] for line in run.read_lines("answers.jsonl")] == ["x\u2028y", "x\x85y", "x\x1cy"]


def test_a_torn_last_line_is_left_out_and_a_bad_one_before_it_is_an_error(run: Run) -> None:
    file = run.path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert [line["step"] for line in run.metrics()] == [1, 2]
    run.cut_metrics(1)
    assert file.read_text() == '{"step": 1}\n'
    file.write_text('{"step": 1}\n{"ste\n{"step": 3}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 2"):
        run.metrics()


def test_a_file_changed_by_hand_is_named(run: Run) -> None:
    (run.path / "plan.json").write_text("{")
    with pytest.raises(RunError, match=r"plan\.json"):
        _ = run.plan
    (run.path / "plan.json").write_text(json.dumps({"config": {"trian": {}}}))
    with pytest.raises(ValueError, match="trian"):
        _ = run.config


def test_readers_see_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """A writer that is killed at any moment leaves the old content; so does one whose disk is full."""
    file = tmp_path / "a.json"
    write_atomically(file, b"old")
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tuneproof.run import write_atomically\n"
        "count = 0\n"
        "def hook(event, arguments):\n"
        "    global count\n"
        "    if event in ('open', 'os.rename'):\n"
        "        count += 1\n"
        "        if count == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "write_atomically(Path(sys.argv[1]), b'new')\n"
    )
    seen = []
    for k in range(1, 6):
        write_atomically(file, b"old")
        done = subprocess.run([sys.executable, "-c", code, str(file), str(k)], check=False)
        seen.append((done.returncode, file.read_bytes()))
    assert (-9, b"old") in seen and (0, b"new") in seen
    assert {content for _, content in seen} == {b"old", b"new"}


def test_a_refused_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ResourceError):
        write_atomically(tmp_path / "a", b"x")  # a folder stands there
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_disk_errors_of_libraries_that_only_say_so_in_words(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="No space left"), disk_errors(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(ResourceError, match="Permission denied"), disk_errors(tmp_path):
        raise RuntimeError("cannot open (os error 13)")
    with pytest.raises(ZeroDivisionError), disk_errors(tmp_path):
        _ = 1 / 0
    assert as_os_error(ValueError("no")) is None


def test_the_lock_of_a_dead_process_is_free(run: Run) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom tuneproof.run import Run\n"
        "lock = Run(Path(sys.argv[1])).locked(); lock.__enter__()\nprint('locked', flush=True)\nsys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    with pytest.raises(RunError, match="Another process"), run.locked():
        pass
    process.kill()
    process.communicate()
    with run.locked():
        pass


def test_all_lists_newest_first_and_skips_what_is_no_run(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    (root / "other").mkdir()
    second = Run.create(root, "b", {})
    os.utime(run.path / "run.json", ns=(1, 1))
    assert [found.id for found in Run.all(root)] == [second.id, run.id]
    assert list(Run.all(tmp_path / "none")) == []
