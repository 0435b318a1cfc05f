"""One version of a name: a manifest that never changes, and a folder that is a run directory.

    version.run                    # Predictor.open(version.run) opens it
    version.label                  # "reviews@7"
    version.check(Sums())          # every file is as it was registered; CheckError names the first that is not

The manifest lies at ``versions/000007.json`` (mode 0444, canonical JSON); its sha256 is the version's id and stands in
the ledger. The folder ``versions/000007`` holds links to files of the store.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from tuneproof.deploy.registry.ledger import canonical
from tuneproof.deploy.registry.store import Kept, Sums
from tuneproof.errors import CheckError, RunError
from tuneproof.run import Run
from tuneproof.sources import admit

# What of a run directory makes a version: enough to open the model, to score it again and to tune it anew.
PARTS = ("run.json", "plan.json", "data", "model", "eval/test", "eval/forgetting.json")
LEFT_OUT = ("data/data.html", "data/findings.jsonl", "data/report.json", "eval/test/report.html")
PACKAGES = ("tuneproof", "torch", "transformers", "peft", "tokenizers", "safetensors")


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version, its manifest read and matched against the ledger."""

    name: str
    number: int
    sha256: str  # of the manifest
    manifest: Mapping[str, Any]
    path: Path  # a run directory

    @property
    def label(self) -> str:
        return f"{self.name}@{self.number}"

    @property
    def run(self) -> Run:
        return Run(self.path)

    def check(self, sums: Sums) -> None:
        """Every file of the version, and of the pretrained model if it needs it, is as it was registered."""
        for fault in self.faults(sums):
            raise CheckError(f"{self.label} is not what was registered: {fault}.", "See: tuneproof registry verify")

    def faults(self, sums: Sums) -> Iterator[str]:
        """What is missing, changed or too many, one sentence without a full stop each."""
        files: Mapping[str, Mapping[str, Any]] = self.manifest["files"]
        for name, told in files.items():
            yield from _fault(self.path / name, told["sha256"], sums)
        there = {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()}
        yield from (f"{self.path / name} was added" for name in sorted(there - set(files)))
        base = self.manifest["base"]
        for name, sha256 in base["files"].items():
            yield from _fault(Path(base["path"]) / name, sha256, sums)


def _fault(file: Path, sha256: str, sums: Sums) -> Iterator[str]:
    try:
        if sums.of(file) != sha256:
            yield f"{file} was changed"
    except OSError:
        yield f"{file} is missing"


def place(folder: Path, number: int) -> tuple[Path, Path]:
    """Where the manifest and the run directory of a version lie."""
    return folder / "versions" / f"{number:06d}.json", folder / "versions" / f"{number:06d}"


def read(folder: Path, name: str, number: int, sha256: str) -> Version:
    """The version, if its manifest is the one that the ledger knows; CheckError otherwise."""
    file, path = place(folder, number)
    try:
        raw = file.read_bytes()
    except OSError:
        raise CheckError(f"The manifest {file} is missing.", "Put it back from a copy.") from None
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise CheckError(f"The manifest {file} was changed since it was registered.", "Put it back from a copy.")
    return Version(name, number, sha256, json.loads(raw), path)


def parts(run: Run) -> dict[str, Path]:
    """The files of a finished run that make a version, by their name in it; RunError for a run without a model."""
    if run.asked["state"] != "scored":
        raise RunError(
            f"{run.path} has not finished: it is {run.asked['state']} and was not scored.",
            f"Finish it: tuneproof resume {run.path}",
        )
    found: dict[str, Path] = {}
    for part in PARTS:
        top = run.path / part
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if not path.is_dir())
        found.update({path.relative_to(run.path).as_posix(): path for path in files})
    return {name: path for name, path in found.items() if name not in LEFT_OUT}


def describe(run: Run, name: str, number: int, parent: int | None, files: Mapping[str, Kept]) -> dict[str, Any]:
    """The manifest, read from what the run wrote down."""
    plan, report, data = run.plan, run.read_json("eval/test/report.json"), run.manifest
    config = dict(plan["config"])
    model = {file.removeprefix("model/"): kept.sha256 for file, kept in files.items() if file.startswith("model/")}
    tuned = next((system for system in report["scores"]["systems"] if system["kind"] == "tuned"), None)
    return {
        "name": name,
        "version": number,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "parent": parent,
        "run": run.id,
        "task": run.schema.task,
        "labels": list(run.schema.choices),
        "method": config["method"]["name"],
        "base": _base(run, plan["model"], "adapter_config.json" in model),
        "files": {file: {"sha256": kept.sha256, "size": kept.size} for file, kept in sorted(files.items())},
        "tokenizer": model.get("tokenizer.json", ""),
        "template": report["evaluation"]["template"],
        "spec": hashlib.sha256(canonical(config)).hexdigest(),
        "data": {"id": data.get("data_id", ""), "ids": {side: _ids(table) for side, table in run.splits.items()}},
        "seed": config["train"]["seed"],
        "env": {"python": platform.python_version(), **{package: installed(package) for package in PACKAGES}},
        "temperature": run.temperature,
        "eval": None if tuned is None else _scores(report, tuned),
        "size": sum(kept.size for file, kept in files.items() if file.startswith("model/")),
    }


def _base(run: Run, model: Mapping[str, Any], needed: bool) -> dict[str, Any]:
    """The pretrained model; its files are listed where the tuned model cannot be opened without them."""
    return {
        "name": model["name"],
        "revision": model["revision"],
        "licence": model["licence"],
        "path": str(Path(model["path"]).absolute()),
        "files": dict(admit(Path(model["path"]))) if needed else {},
    }


def _ids(table: Any) -> dict[str, Any]:
    ids = sorted(str(id) for id in table.columns["id"])
    return {"rows": len(ids), "sha256": hashlib.sha256(canonical(ids)).hexdigest()}


def _scores(report: Mapping[str, Any], tuned: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "primary": report["scores"]["primary"],
        "n": report["scores"]["n"],
        "values": dict(tuned["values"]),
        "interval": list(tuned["interval"]),
        "headline": report["headline"],
    }
