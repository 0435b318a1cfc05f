"""What an export says about itself: export.json for programs, README.md for people.

The card begins with the run's own (data, scores with intervals, limits, licence chain) and adds how this copy was made,
what was compared, and how to start it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneproof.deploy.export.parity import Parity
from tuneproof.deploy.export.subject import Subject
from tuneproof.sources.admission import digest


def about(subject: Subject, target: str, precision: str, parity: Parity, folder: Path) -> dict[str, Any]:
    """``export.json``: from what, with what result, and the sha256 of every file."""
    plan = subject.run.plan
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "name": subject.name,
        "target": target,
        "precision": precision,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "base": {key: plan["model"][key] for key in ("name", "revision", "licence")},
        "temperature": subject.run.temperature,
        "template": hashlib.sha256(
            subject.predictor.answer.template(subject.predictor.encoder).encode("utf-8")
        ).hexdigest(),
        "parity": parity_as_json(parity),
        "files": {path.relative_to(folder).as_posix(): digest(path) for path in files},
    }


def parity_as_json(parity: Parity) -> dict[str, Any]:
    found = dataclasses.asdict(parity)
    return {key: value for key, value in found.items() if key != "reason"}


def card(subject: Subject, told: Mapping[str, Any], usage: str) -> str:
    """The run's card, then this export's own section."""
    own = subject.run.model / "README.md"
    before = own.read_text(encoding="utf-8") if own.is_file() else f"# {subject.name}\n"
    base = told["base"]
    return f"""{before.rstrip()}

## This export

`{told["name"]}` as {told["target"]} ({told["precision"]}), made {told["created"][:10]}.

```sh
{usage}
```

{parity_sentence(told["parity"])}

Licence chain: the weights derive from `{base["name"]}` (revision {base["revision"]}, {base["licence"]}); the
tuning data are those named above, under their own terms.
"""


def parity_sentence(parity: Mapping[str, Any]) -> str:
    said = (
        f"Compared in {parity['runtime']} with the model that was scored, on {parity['rows']:,} stored test rows "
        f"({parity['positions']:,} positions): the likeliest answer agrees in {parity['agreement']:.2%}, the largest "
        f"difference of a logit is {parity['distance']:.2g}."
    )
    quality = parity["quality"]
    said += "".join(f" {note[:1].upper()}{note[1:]}." for note in parity["notes"])
    if quality is None:
        return said
    return (
        f"{said} On {quality['n']:,} test rows it was shown to be worse by less than {quality['margin']:g} "
        f"(one-sided 95% bound {quality['bound']:+.4f})."
    )
