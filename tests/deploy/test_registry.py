"""The registry: nothing in it changes unnoticed, one process decides at a time, and a killed one leaves no harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_models import made_run

from tuneproof.deploy.registry import Registry, Version, found
from tuneproof.errors import BusyError, CheckError, ConfigError, Error, RunError
from tuneproof.run import Run


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "home")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made_run(tmp_path / "runs", "reviews-7f3a")


def promote(registry: Registry, version: Version) -> None:
    with registry.deciding(version.name) as now:
        aliases = {"champion": version.number, **({"previous": now["champion"]} if "champion" in now else {})}
        registry.decide(version.name, "promoted", version, aliases, expected=now, facts={}, gate={"G0": "pass"})


def test_a_run_becomes_a_version_that_is_a_run(registry: Registry, run: Run) -> None:
    version = registry.register(run, "reviews", {"eval/note.json": b"{}"})
    assert version.label == "reviews@1" and registry.aliases("reviews") == {"challenger": 1}
    opened = registry.resolve("reviews@1").run
    assert (opened.model / "model.safetensors").read_bytes() == b"weights"
    assert opened.plan == run.plan and opened.schema == run.schema and len(opened.splits.test) == 2
    assert version.manifest["files"]["eval/note.json"]["size"] == 2
    assert version.manifest["eval"]["values"] == {"accuracy": 0.9}
    assert registry.verify() == []


def test_what_is_registered_no_longer_depends_on_the_run(registry: Registry, run: Run) -> None:
    registry.register(run, "reviews")
    (run.model / "model.safetensors").write_bytes(b"others")
    assert (registry.resolve("reviews@1").run.model / "model.safetensors").read_bytes() == b"weights"


def test_the_home_is_for_its_owner_alone(registry: Registry, run: Run) -> None:
    version = registry.register(run, "reviews")
    folders = [registry.root, *(path for path in registry.root.rglob("*") if path.is_dir())]
    outer = [folder for folder in folders if folder.parent in (registry.root, registry.root.parent)]
    assert {folder.stat().st_mode & 0o077 for folder in outer} == {0}
    assert version.path.parent.stat().st_mode & 0o077 == 0
    assert (version.path.parent / "000001.json").stat().st_mode & 0o777 == 0o444
    assert (version.path / "model" / "model.safetensors").stat().st_mode & 0o222 == 0


def test_aliases_move_and_references_follow(registry: Registry, run: Run) -> None:
    first = registry.register(run, "reviews")
    with pytest.raises(RunError, match="no champion yet"):
        registry.resolve("reviews")
    promote(registry, first)
    second = registry.register(made_run(run.path.parent, "reviews-2", weights=b"better"), "reviews")
    assert registry.aliases("reviews") == {"champion": 1, "challenger": 2} and second.manifest["parent"] == 1
    promote(registry, second)
    assert registry.resolve("reviews").number == registry.resolve("reviews@champion").number == 2
    assert registry.resolve("reviews@previous").number == registry.resolve("reviews@1").number == 1
    assert [line.what for line in registry.ledger("reviews")] == ["registered", "promoted"] * 2
    copy = json.loads((registry.root / "models" / "reviews" / "aliases.json").read_text())
    assert copy == {"champion": 2, "previous": 1, "seq": 4}


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("../etc", ConfigError),
        ("Reviews", ConfigError),
        ("reviews@champoin", ConfigError),
        ("reviews@0", ConfigError),
        ("reviews@2", RunError),
        ("review", RunError),
        ("a" * 65, ConfigError),
    ],
)
def test_a_reference_that_names_nothing_is_one_sentence(
    registry: Registry, run: Run, reference: str, error: type[Error]
) -> None:
    registry.register(run, "reviews")
    with pytest.raises(error):
        registry.resolve(reference)


def test_a_run_or_a_name(registry: Registry, run: Run) -> None:
    promote(registry, registry.register(run, "reviews"))
    assert isinstance(found(str(run.path), registry), Run)
    assert isinstance(found("reviews", registry), Version)
    with pytest.raises(RunError, match="no registered name") as refused:
        found("reviewz", registry)
    assert 'Did you mean "reviews"?' in refused.value.hint


def test_an_unfinished_run_is_refused(registry: Registry, run: Run) -> None:
    run.mark("training")
    with pytest.raises(RunError, match="has not finished"):
        registry.register(run, "reviews")
    assert registry.names() == []


def test_every_file_is_watched(registry: Registry, run: Run) -> None:
    """One bit of each file, at its beginning, middle and end; a missing and an added file."""
    promote(registry, registry.register(run, "reviews"))
    assert registry.verify() == []
    files = [path for path in registry.root.rglob("*") if path.is_file() and path.name not in (".lock", ".deciding")]
    assert len(files) > 20
    for file in files:
        raw = file.read_bytes()
        file.chmod(0o644)
        for at in {0, len(raw) // 2, len(raw) - 1}:
            file.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
            assert registry.verify() != [], (file, at)
        file.write_bytes(raw)
        assert registry.verify() == []
    model = registry.root / "models" / "reviews" / "versions" / "000001" / "model"
    (model / "more.json").write_text("{}")
    assert registry.verify() == [f"{model / 'more.json'} was added"]
    (model / "more.json").unlink()
    (model / "config.json").unlink()
    assert registry.verify() == [f"{model / 'config.json'} is missing"]


def test_a_changed_file_is_not_served(registry: Registry, run: Run) -> None:
    version = registry.register(run, "reviews")
    registry.resolve("reviews@1")
    weights = version.path / "model" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"weightz")
    with pytest.raises(CheckError, match=r"model\.safetensors was changed") as refused:
        registry.resolve("reviews@1")
    assert refused.value.exit_code == 3


def test_an_edited_manifest_is_refused(registry: Registry, run: Run) -> None:
    version = registry.register(run, "reviews")
    manifest = version.path.parent / "000001.json"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b'"seed":0', b'"seed":1'))
    with pytest.raises(CheckError, match=r"000001\.json was changed"):
        registry.resolve("reviews@1")


def test_a_line_taken_out_of_the_ledger_is_noticed(registry: Registry, run: Run) -> None:
    promote(registry, registry.register(run, "reviews"))
    promote(registry, registry.register(run, "reviews"))
    ledger = registry.root / "models" / "reviews" / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    for without in range(len(lines)):
        ledger.write_bytes(b"".join(line for at, line in enumerate(lines) if at != without))
        if without < len(lines) - 1:
            with pytest.raises(CheckError):
                registry.ledger("reviews")
        else:
            assert registry.verify() != []


def test_the_second_process_is_told_so(registry: Registry, run: Run) -> None:
    version = registry.register(run, "reviews")
    with registry.deciding("reviews") as now:
        with pytest.raises(BusyError) as refused, Registry(registry.root).deciding("reviews"):
            pass
        registry.decide("reviews", "promoted", version, {"champion": 1}, expected=now, facts={})
        with pytest.raises(BusyError):
            registry.decide("reviews", "promoted", version, {"champion": 1}, expected=now, facts={})
    assert refused.value.exit_code == 75


PROMOTE = """
import sys
from pathlib import Path
from tuneproof.deploy.registry import Registry
from tuneproof.errors import BusyError
registry = Registry(Path(sys.argv[1]))
version = registry.resolve(f"reviews@{sys.argv[2]}")
sys.stdin.readline()
try:
    with registry.deciding("reviews") as now:
        registry.decide("reviews", "promoted", version, {"champion": version.number}, expected=now, facts={})
except BusyError as error:
    sys.exit(error.exit_code)
"""


def test_sixteen_processes_promote_at_once(registry: Registry, run: Run) -> None:
    """ACCEPTANCE 29: the chain verifies, the aliases are those of the last line, whoever lost was told so."""
    for _ in range(16):
        registry.register(run, "reviews")
    before = len(registry.ledger("reviews"))
    command = [sys.executable, "-c", PROMOTE, str(registry.root)]
    started = [subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE) for n in range(1, 17)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
    codes = [process.wait() for process in started]
    assert set(codes) <= {0, 75} and 0 in codes
    lines = registry.ledger("reviews")
    assert len(lines) - before == codes.count(0)
    promoted = {number for number, code in enumerate(codes, start=1) if code == 0}
    assert {line.version for line in lines[before:]} == promoted
    assert registry.aliases("reviews") == lines[-1].aliases == {"champion": lines[-1].version}
    assert registry.verify() == []


KILLED = """
import os, signal, sys
from pathlib import Path
from tuneproof.deploy.registry import Registry
from tuneproof.run import Run
root, work, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
registry, run = Registry(Path(root)), Run(Path(work))
seen = 0
def hook(event, arguments):
    global seen
    if event in ("open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.truncate"):
        if str(arguments[0]).startswith(root):
            seen += 1
            if seen == k:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
version = registry.register(run, "reviews")
with registry.deciding("reviews") as now:
    registry.decide(
        "reviews", "promoted", version, {"champion": version.number, "previous": now["champion"]}, expected=now,
        facts={}, gate={"k": k}
    )
"""


def killed(registry: Registry, run: Run, every: int) -> int:
    """SIGKILL before every so many-th change of a file, from registering to the new champion: how many times."""
    promote(registry, registry.register(run, "reviews"))
    heavy = "import polars, tuneproof.deploy.registry, tuneproof.sources\n"
    program = f"{heavy}import sys\nexec(compile({KILLED!r}, 'killed', 'exec'))"
    points, k = 0, 1
    while True:
        command = [sys.executable, "-c", program, str(registry.root), str(run.path), str(k)]
        ended = subprocess.run(command, check=False)
        fresh = Registry(registry.root)
        assert fresh.verify() == [], k
        champion = fresh.resolve("reviews")
        assert champion.number == fresh.aliases("reviews")["champion"]
        if ended.returncode == 0:
            break
        assert ended.returncode == -9, k
        points, k = points + 1, k + every
    assert fresh.ledger("reviews")[-1].what == "promoted"
    assert not list(champion.path.parent.glob(".new-*"))
    return points


def test_killed_here_and_there_it_verifies_and_goes_on(registry: Registry, run: Run) -> None:
    assert killed(registry, run, 12) >= 8


@pytest.mark.proof
def test_killed_anywhere_it_verifies_and_goes_on(registry: Registry, run: Run) -> None:
    """ACCEPTANCE 28, promotion: at every one of more than a hundred points."""
    assert killed(registry, run, 1) >= 100


def test_a_torn_line_was_never_decided(registry: Registry, run: Run) -> None:
    promote(registry, registry.register(run, "reviews"))
    ledger = registry.root / "models" / "reviews" / "ledger.jsonl"
    with ledger.open("ab") as out:
        out.write(b'{"aliases":{"champion":9')
    assert registry.resolve("reviews").number == 1 and registry.verify() == []
    assert registry.register(run, "reviews").number == 2
    assert len(registry.ledger("reviews")) == 3 and registry.verify() == []


@pytest.mark.proof
def test_a_thousand_versions_verify_and_roll_back_quickly(registry: Registry, run: Run) -> None:
    """ACCEPTANCE 31: verify <= 10 s, a rollback's two steps <= 1 s; equal files lie on the disk once."""
    for _ in range(1000):
        (run.model / "model.safetensors").write_bytes(os.urandom(1024))
        registry.register(run, "reviews")
    promote(registry, registry.resolve("reviews@999"))
    promote(registry, registry.resolve("reviews@1000"))
    fresh = Registry(registry.root)
    began = time.monotonic()
    assert fresh.verify() == []
    verified = time.monotonic() - began
    began = time.monotonic()
    promote(fresh, fresh.resolve("reviews@999"))
    back = time.monotonic() - began
    assert verified <= 10 and back <= 1, (verified, back)
