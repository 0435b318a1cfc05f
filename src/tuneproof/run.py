"""The run directory: one class owns every artifact in it, reading and writing.

    run = Run.create(Path("runs"), "reviews")       # runs/reviews-7f3a/
    run.write_plan({...}); run.plan                  # and so on for each artifact
    Run.open(Path("runs/reviews-7f3a"))              # RunError when it is not one

Layout::

    run.json              what was asked: file, configuration, versions, state
    plan.json             every setting with its reason
    data/                 train.parquet, validation.parquet, test.parquet, tokens.json, schema.json, ledger.json,
                          report.json, findings.jsonl and data.html of the doctor, manifest.json (last)
    metrics.jsonl         one line per report of the training loop, appended while it runs
    ckpt/                 step-00000120/ (resume), best/ (the result), each with a MANIFEST.json written last
    model/                an ordinary transformers or peft folder, with calibration.json beside the weights
    eval/<id>/            predictions.jsonl, report.json, report.html

Whole files are written to a temporary name, synced and renamed; loops append lines. Nothing here knows what
the artifacts mean.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuneproof.config import Config, build
from tuneproof.errors import ResourceError, RunError
from tuneproof.records import Drop, Finding, Ledger, Schema, Splits, Table

SPLITS = ("train", "validation", "test")


class Run:
    """A directory with a ``run.json``. Paths are attributes; artifacts are properties."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data"
        self.checkpoints = path / "ckpt"
        self.model = path / "model"
        self.evaluations = path / "eval"

    # -- making and finding

    @classmethod
    def create(cls, root: Path, name: str, asked: Mapping[str, Any]) -> Run:
        """A new directory ``root/<name>-<4 hex digits>`` that holds ``run.json``."""
        stem = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:40] or "run"
        for _ in range(100):
            run = cls(root / f"{stem}-{secrets.token_hex(2)}")
            try:
                run.path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise _disk(error, run.path) from error
            run.write_json("run.json", {**asked, "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "state": "started"})
            return run
        raise RunError(f"No free name for a run under {root}.")

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run at ``path``; RunError when there is none."""
        run = cls(Path(path))
        if not run.path.is_dir():
            raise RunError(f"There is no run directory {path}.", "List them with: tuneproof runs")
        if not (run.path / "run.json").is_file():
            raise RunError(
                f"{path} is not a run directory: it has no run.json.", "Point at a folder such as runs/reviews-7f3a."
            )
        return run

    @classmethod
    def all(cls, root: Path) -> Iterator[Run]:
        """Every run under ``root``, newest first."""
        found = [cls(file.parent) for file in root.glob("*/run.json")]
        return iter(sorted(found, key=lambda run: (run.path / "run.json").stat().st_mtime, reverse=True))

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def asked(self) -> dict[str, Any]:
        """File, configuration and versions as they were asked for, and the state the run is in."""
        found: dict[str, Any] = self.read_json("run.json")
        return found

    def mark(self, state: str, **more: Any) -> None:
        """States: started, prepared, decided, training, trained, scored, stopped; checked for a check of data alone."""
        self.write_json("run.json", {**self.asked, **more, "state": state})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process works on a run; RunError for the second. The system frees the lock of a dead one."""
        with (self.path / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"Another process is working on {self.path}.", "Wait for it, or end it.") from None
            yield

    # -- artifacts of the stages

    @property
    def plan(self) -> dict[str, Any]:
        found: dict[str, Any] = self.read_json("plan.json")
        return found

    @property
    def config(self) -> Config:
        """The resolved configuration: every option that matters has its value."""
        return build(self.plan["config"])

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        self.write_json("plan.json", plan)

    def write_data(self, splits: Splits, schema: Schema, ledger: Ledger, manifest: Mapping[str, Any]) -> None:
        """The three tables, then schema and ledger, then the manifest that says they are complete."""
        self.data.mkdir(exist_ok=True)
        for name, table in splits.items():
            _write_table(table, self.data / f"{name}.parquet")
        self.write_json("data/schema.json", dataclasses.asdict(schema))
        self.write_json("data/ledger.json", dataclasses.asdict(ledger))
        self.write_json("data/manifest.json", manifest)

    @property
    def has_data(self) -> bool:
        return (self.data / "manifest.json").is_file()

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = self.read_json("data/manifest.json")
        return found

    @property
    def schema(self) -> Schema:
        raw = self.read_json("data/schema.json")
        scale = tuple(raw["scale"]) if raw.get("scale") else None
        lists = {name: tuple(raw.get(name, ())) for name in ("labels", "reasons", "several", "tags")}
        return Schema(**{**raw, **lists, "scale": scale})

    @property
    def ledger(self) -> Ledger:
        raw = self.read_json("data/ledger.json")
        dropped = tuple(Drop(**{**drop, "lines": tuple(drop["lines"])}) for drop in raw["dropped"])
        return Ledger(raw["rows_in"], raw["used"], dropped, tuple(raw["notes"]), raw.get("repeated", {}))

    def write_ledger(self, ledger: Ledger) -> None:
        self.write_json("data/ledger.json", dataclasses.asdict(ledger))

    @property
    def splits(self) -> Splits:
        if not self.has_data:
            raise RunError(f"{self.path} holds no prepared data.", "The run stopped before that; start it again.")
        return Splits(*(_read_table(self.data / f"{name}.parquet") for name in SPLITS))

    def write_findings(self, findings: Sequence[Finding]) -> None:
        """``data/findings.jsonl``: one line per row that a check names."""
        lines = (json.dumps(dataclasses.asdict(finding), ensure_ascii=False) + "\n" for finding in findings)
        self.write_text("data/findings.jsonl", "".join(lines))

    @property
    def data_page(self) -> Path:
        """The page about the data."""
        return self.data / "data.html"

    def forget_checkpoints(self) -> None:
        """Checkpoints serve to resume; a finished run has its model."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    # -- metrics: append only, line buffered

    def metrics(self) -> list[dict[str, Any]]:
        return self.read_lines("metrics.jsonl")

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        self.append_line("metrics.jsonl", record)

    def cut_metrics(self, step: int) -> None:
        """Forget what was reported after ``step``: those steps will run again."""
        kept = [record for record in self.metrics() if record["step"] <= step]
        self.write_text("metrics.jsonl", "".join(json.dumps(record) + "\n" for record in kept))

    @property
    def calibration(self) -> dict[str, Any] | None:
        """What was found about the confidences of the saved model; None when nobody has looked."""
        if not (self.model / "calibration.json").is_file():
            return None
        found: dict[str, Any] = self.read_json("model/calibration.json")
        return found

    @property
    def temperature(self) -> float:
        """What divides the logits of the saved model: 1.0 where nothing better was found."""
        return float((self.calibration or {}).get("temperature", 1.0))

    @property
    def rule(self) -> dict[str, Any]:
        """How the saved model decides from probabilities; {}: the likeliest label."""
        return dict((self.calibration or {}).get("rule") or {})

    def write_calibration(self, found: Mapping[str, Any]) -> None:
        self.write_json("model/calibration.json", found)

    def evaluation(self, id: str) -> Path:
        folder = self.evaluations / id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def report(self) -> Path:
        """The page of the newest evaluation."""
        return self.evaluations / "test" / "report.html"

    @property
    def scores(self) -> dict[str, Any]:
        found: dict[str, Any] = self.read_json("eval/test/report.json")["scores"]
        return found

    # -- files

    def read_json(self, name: str) -> Any:
        file = self.path / name
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(
                f"{self.path} has no {name}.", f"The run did not get that far; try: tuneproof resume {self.path}"
            ) from None
        except json.JSONDecodeError as error:
            raise RunError(f"{file} was changed by hand or damaged: {error}.") from None

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text.encode("utf-8"))

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """JSON lines; a torn last line is left out, a bad line before it is an error."""
        file = self.path / name
        if not file.exists():
            return []
        lines = file.read_text(encoding="utf-8").split("\n")
        records = []
        for number, line in enumerate(lines[:-1], start=1):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                raise RunError(f"{file}, line {number}: not JSON; the file was changed or damaged.") from None
        return records

    def append_line(self, name: str, record: Mapping[str, Any]) -> None:
        try:
            with (self.path / name).open("a", encoding="utf-8", buffering=1) as out:
                out.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise _disk(error, self.path) from error


def write_atomically(file: Path, content: bytes) -> None:
    """Temporary name, fsync, rename, fsync of the folder: readers see the old file or the new one, never a part."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
        sync_folder(file.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _disk(error, file) from error


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """A full disk as ResourceError, also where a library written in Rust tells it in words only."""
    try:
        yield
    except Exception as error:
        failure = as_os_error(error)
        if failure is None:
            raise
        raise _disk(failure, where) from error


def as_os_error(error: Exception) -> OSError | None:
    """``error`` if it is one, or the one in its text: safetensors, tokenizers and polars say "(os error 28)"."""
    if isinstance(error, OSError):
        return error
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else None


def _disk(error: OSError, where: Path) -> Exception:
    """A full disk becomes one sentence with figures; a folder we may not write to as well."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        near = next((parent for parent in (where, *where.parents) if parent.exists()), Path("/"))
        free = shutil.disk_usage(near).free / 2**20
        return ResourceError(f"No space left on the disk of {where} ({free:.0f} MiB free).", "Free some, then resume.")
    return ResourceError(f"Cannot write {where}: {error.strerror}.", "Choose another place with --runs DIR.")


def _write_table(table: Table, file: Path) -> None:
    """Parquet with the line numbers as a column; lists and objects as JSON text, named in the file's metadata."""
    import polars as pl

    columns: dict[str, Any] = {"_line": list(table.lines), **({"_file": list(table.files)} if table.files else {})}
    nested = [name for name, values in table.columns.items() if not {list, dict}.isdisjoint(map(type, values))]
    for name, values in table.columns.items():
        columns[name] = [json.dumps(value, ensure_ascii=False) for value in values] if name in nested else list(values)
    metadata = {"source": table.source, "nested": json.dumps(nested)}
    temporary = file.with_suffix(".tmp")
    with disk_errors(file):
        pl.DataFrame(columns, strict=False).write_parquet(temporary, metadata=metadata)
        temporary.replace(file)


def _read_table(file: Path) -> Table:
    import polars as pl

    metadata = pl.read_parquet_metadata(file)
    frame = pl.read_parquet(file)
    columns = {name: frame[name].to_list() for name in frame.columns if name not in ("_line", "_file")}
    for name in json.loads(metadata["nested"]):
        columns[name] = [json.loads(value) for value in columns[name]]
    files = frame["_file"].to_list() if "_file" in frame.columns else ()
    return Table(columns, frame["_line"].to_list(), metadata["source"], files)
