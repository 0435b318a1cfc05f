"""What a chat model is asked about a row with labels or entities: the template of ``data.instruction``, filled in.

    text, reason = wording(schema, None)
    asked({"text": "arrived broken"}, text, ("negative", "positive"))

"{text}", "{second}" and "{labels}" (or types of entities) stand for what they say; without "{second}" both texts of a
pair stand at "{text}".
"""

from __future__ import annotations

import re

from tuneproof.errors import ConfigError, nearest
from tuneproof.records import Row, Schema
from tuneproof.tasks import entities

NAMED = 30  # labels that are named in every row: more would make rows longer than their texts
WITH_LABELS = "{text}\n\nWhich of these labels fits? {labels}\nAnswer with the label alone."
WITHOUT = "{text}\n\nWhich label fits? Answer with the label alone."
ENTITIES = (
    "{text}\n\nWhich words are of one of these types? {labels}\n"
    "Answer with one line for each, in their order, as TYPE: words. Where there is none, answer: none"
)
UNNAMED = "{text}\n\nWhich entities are there? Answer with lines of TYPE: words. Where there is none, answer: none"
PARTS = ("text", "second", "labels")
PART = re.compile(r"\{(\w+)\}")


def wording(schema: Schema, own: str | None) -> tuple[str, str]:
    """The template with the reason for it; ConfigError for one of ``own`` that cannot be filled in."""
    if own is not None:
        _check(own, schema)
        return own, "you asked for it"
    count = len(schema.labels)
    if count <= NAMED:
        return WITH_LABELS, f"a plain question that names the {count} labels"
    return WITHOUT, f"a plain question: naming {count} labels would make every row longer, and training shows them"


def entity_wording(schema: Schema, own: str | None) -> tuple[str, str]:
    """The same for entities, where "{labels}" are their types."""
    if own is not None:
        _check(own, schema)
        return own, "you asked for it"
    count = len(entities.types([schema.tags]))
    if count <= NAMED:
        return ENTITIES, f"a plain question that names the {count} types"
    return UNNAMED, f"a plain question: naming {count} types would make every row longer, and training shows them"


def asked(row: Row, template: str, labels: tuple[str, ...]) -> str:
    """The template with the texts of a row; nothing within a text is filled in."""
    parts = {"text": str(row["text"]), "labels": ", ".join(labels)}
    if "second" in row:
        parts["second"] = str(row["second"])
        if "{second}" not in template:
            parts["text"] = f"First text: {row['text']}\nSecond text: {row['second']}"
    return PART.sub(lambda found: parts.get(found[1], found[0]), template)


def _check(template: str, schema: Schema) -> None:
    named = PART.findall(template)
    known = PARTS if "second" in schema.fields else ("text", "labels")
    strange = next((name for name in named if name not in known), None)
    if strange is not None:
        told = ", ".join(f"{{{name}}}" for name in known)
        raise ConfigError(
            f"data.instruction: there is no {{{strange}}} in the rows of this file.",
            nearest(strange, list(known)) or f"There is: {told}.",
        )
    if "text" not in named:
        raise ConfigError(
            "data.instruction has no {text}: every row would be asked the same.",
            'For example: "{text}\\n\\nThe label:"',
        )
