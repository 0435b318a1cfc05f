"""Tuneproof: a file and a pretrained model go in, a fine-tuned model comes out, with the proof of what was done.

    import tuneproof as tp
    run = tp.tune("reviews.csv")
    run.predict(["arrived broken"]); run.scores; run.report

Direction of imports, each line only from the lines above it (a test holds this)::

    0  errors  records                                        standard library only
    1  config  run  device  memory  optional  sources  stats
    2  compute
    3  modalities   methods
    4  tasks
    5  predict   page   describe
    6  choose | prepare | decide | train | evaluate | deploy | monitor | engines      never each other
    7  pipeline
    8  cli   web

This module is imported by all of them, so it imports nothing before it is asked to.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneproof.pipeline import Found
    from tuneproof.records import Table
    from tuneproof.tuned import Tuned

__all__ = ["check", "open", "plan", "read", "resume", "tune"]

# OpenMP reads this once, when torch is loaded: threads that wait for one another sleep instead of spinning. On a
# machine that does anything else besides, spinning made steps 3 to 5 times slower (docs/log.md).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Where bitsandbytes is installed peft imports it, and it tells every command that a kernel of its own was not fetched.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def tune(
    file: str | Path | Sequence[str | Path],
    *,
    runs: str | Path = "runs",
    config: str | Path | None = None,
    **options: Any,
) -> Tuned:
    """Tunes a model on ``file`` and returns the finished run.

    ``options`` are those of the configuration with ``_`` for the dot: ``train_lr=1e-4``, ``data_test="test.csv"``.
    Raises the classes of ``tuneproof.errors``.
    """
    from tuneproof.config import load
    from tuneproof.pipeline import Quiet
    from tuneproof.pipeline import tune as run_all
    from tuneproof.tuned import Tuned

    return Tuned(run_all(_named(file), load(config, _dotted(options)), runs=Path(runs), view=Quiet()))


def plan(
    file: str | Path | Sequence[str | Path], *, config: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """What ``tune`` would do with ``file`` and why, with its measured cost; nothing is trained."""
    from tuneproof.config import load
    from tuneproof.pipeline import Quiet
    from tuneproof.pipeline import plan as only_plan

    return only_plan(_named(file), load(config, _dotted(options)), view=Quiet())


def check(
    file: str | Path | Sequence[str | Path],
    *,
    runs: str | Path = "runs",
    config: str | Path | None = None,
    **options: Any,
) -> Found:
    """The data doctor alone: ``.verdict``, ``.findings`` (objects with file, line, message), ``.page``, ``.report``."""
    from tuneproof.config import load
    from tuneproof.pipeline import Quiet
    from tuneproof.pipeline import check as examine

    return examine(_named(file), load(config, _dotted(options)), runs=Path(runs), view=Quiet())


def read(file: str | Path | Sequence[str | Path], *, sheet: str | None = None) -> Table:
    """The table in a file, or in several of one layout: ``.columns``, ``.row(0)``, and the line of each row."""
    from tuneproof.prepare.read import read as read_files

    names = _named(file)
    return read_files([Path(name) for name in names], names, sheet=sheet)


def resume(run: str | Path) -> Tuned:
    """Continues a run where it stopped."""
    from tuneproof.pipeline import Quiet
    from tuneproof.pipeline import resume as go_on
    from tuneproof.tuned import Tuned

    return Tuned(go_on(run, view=Quiet()))


def open(run: str | Path) -> Tuned:
    """A finished run; RunError when there is none at that path."""
    from tuneproof.run import Run
    from tuneproof.tuned import Tuned

    return Tuned(Run.open(run))


def _named(file: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(file)] if isinstance(file, str | Path) else [str(one) for one in file]


def _dotted(options: dict[str, Any]) -> dict[str, Any]:
    """``train_lr`` -> ``train.lr``: the first underscore is the dot."""
    return {name.replace("_", ".", 1): value for name, value in options.items()}
