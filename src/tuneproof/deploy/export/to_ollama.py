"""A GGUF file with the Modelfile that makes Ollama ask and stop as the scored model was asked and stopped.

    build(subject, folder, "f16")       # model.gguf, Modelfile
    check(subject, folder)              # the Modelfile's own template, evaluated on the stored dialogues

Ollama renders a dialogue by a Go template, models come with a Jinja template. What stands before and after each
role's text is found by rendering marked dialogues; a template not made of such parts is refused. Tools are not carried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.deploy.export import to_gguf
from tuneproof.deploy.export.folders import adds_bos
from tuneproof.deploy.export.subject import Subject
from tuneproof.errors import CheckError

MODELFILE = "Modelfile"
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Parts:
    """A chat template as text around each role's words."""

    start: str
    around: Mapping[str, tuple[str, str]]  # role -> (before, after)
    opening: str  # where the answer begins
    default: str  # system prompt that the template writes of itself, or ""


def build(subject: Subject, folder: Path, precision: str) -> None:
    to_gguf.build(subject, folder, precision)
    (folder / MODELFILE).write_text(modelfile(subject), encoding="utf-8")


def modelfile(subject: Subject) -> str:
    encoder: Any = subject.predictor.encoder
    parts, how = parts_of(encoder.tokenizer), subject.generation
    tokenizer = encoder.tokenizer
    stops = [str(tokenizer.convert_ids_to_tokens(id)) for id in encoder.stops]
    lines = [f"FROM ./{to_gguf.FILE}", f'TEMPLATE """{go_template(parts)}"""']
    if parts.default:
        lines.append(f'SYSTEM """{parts.default}"""')
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    lines += [
        "PARAMETER temperature 0",
        f"PARAMETER repeat_penalty {how.repetition_penalty:g}",
        "PARAMETER repeat_last_n -1",
        f"PARAMETER num_ctx {subject.predictor.encoder.max_length}",
    ]
    if how.max_new_tokens:
        lines.append(f"PARAMETER num_predict {how.max_new_tokens}")
    return "\n".join(lines) + "\n"


def parts_of(tokenizer: Any) -> Parts:
    """The parts, from dialogues whose texts are marks; CheckError for a template that is not made of parts."""

    def render(*messages: tuple[str, str], opened: bool = False) -> str:
        told = [{"role": role, "content": content} for role, content in messages]
        text = str(tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=opened))
        return text.removeprefix(bos)

    bos = _written_by_llama_cpp(tokenizer)
    u, a, v, w, s = "first§", "second§", "third§", "fourth§", "zero§"
    turns = (("user", u), ("assistant", a), ("user", v), ("assistant", w))
    lead, between, back, _, end = _cut(render(*turns), u, a, v, w)
    after_user = _cut(render(("user", u)), u)[1]
    opening = _without_start(render(("user", u), opened=True), render(("user", u)))
    before_user = _without_start(back, end)
    system_lead, system_rest = _cut(render(("system", s), ("user", u)), s, u)[:2]
    after_system = _without_end(system_rest, before_user)
    lead = _without_end(lead, before_user)
    start, default = lead, ""
    if lead.startswith(system_lead) and lead.endswith(after_system) and lead != system_lead:
        start, default = "", lead[len(system_lead) : len(lead) - len(after_system)]
    around = {
        "system": (_without_start(system_lead, start), after_system),
        "user": (before_user, after_user),
        "assistant": (_without_start(between, after_user), end),
    }
    return Parts(start, around, opening, default)


def _written_by_llama_cpp(tokenizer: Any) -> str:
    """The BOS that llama.cpp puts before a prompt by itself; in the template it would stand there twice."""
    return str(tokenizer.bos_token) if adds_bos(tokenizer) else ""


def _cut(text: str, *marks: str) -> list[str]:
    """What stands between the marks, each of which has to be there once and in order."""
    pieces: list[str] = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:
            raise _no_parts("a message's text does not come back from it")
        pieces.append(before)
    return [*pieces, text]


def _without_start(text: str, start: str) -> str:
    if not text.startswith(start):
        raise _no_parts(f"{text[:40]!r} does not begin with {start[:40]!r}")
    return text[len(start) :]


def _without_end(text: str, end: str) -> str:
    if not text.endswith(end):
        raise _no_parts(f"{text[-40:]!r} does not end with {end[-40:]!r}")
    return text[: len(text) - len(end)]


def _no_parts(why: str) -> CheckError:
    return CheckError(
        f"The chat template cannot be written as Ollama's: {why}.", "Export to gguf and use llama.cpp, which reads it."
    )


def go_template(parts: Parts) -> str:
    """One loop over the messages; all text as quoted strings, so that white space is what it says."""

    def text(literal: str) -> str:
        return f"{{{{ {json.dumps(literal, ensure_ascii=False)} }}}}" if literal else ""

    branches = ""
    for index, role in enumerate(ROLES):
        before, after = parts.around[role]
        word = "if" if index == 0 else "else if"
        branches += f'{{{{ {word} eq .Role "{role}" }}}}{text(before)}{{{{ .Content }}}}{text(after)}'
    return f"{text(parts.start)}{{{{ range .Messages }}}}{branches}{{{{ end }}}}{{{{ end }}}}{text(parts.opening)}"


# -- the Modelfile read back


def check(subject: Subject, folder: Path) -> str:
    """CheckError unless the Modelfile renders the stored dialogues as the evaluation did, and stops where it did."""
    told = (folder / MODELFILE).read_text(encoding="utf-8")
    encoder: Any = subject.predictor.encoder
    template, system = _quoted(told, "TEMPLATE"), _quoted(told, "SYSTEM")
    for probe in subject.probes:
        if "tools" in probe.asked or any(m["role"] not in ROLES for m in probe.asked["messages"]):
            continue
        messages = list(probe.asked["messages"])
        if system and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": system}, *messages]
        theirs = evaluated(template, messages)
        rendered = encoder.prompt(probe.asked["messages"])
        ours = "".join(text for text, _ in rendered.pieces).removeprefix(_written_by_llama_cpp(encoder.tokenizer))
        if theirs != ours:
            at = next((i for i, (x, y) in enumerate(zip(theirs, ours, strict=False)) if x != y), 0)
            raise CheckError(
                f"Ollama would render the test row of line {probe.line} otherwise: {theirs[at : at + 30]!r} stands "
                f"where the scored model read {ours[at : at + 30]!r}."
            )
    wanted = [str(encoder.tokenizer.convert_ids_to_tokens(id)) for id in encoder.stops]
    stops = [json.loads(value) for value in re.findall(r"^PARAMETER stop (.*)$", told, re.MULTILINE)]
    if sorted(stops) != sorted(wanted):
        raise CheckError(f"The Modelfile stops at {stops}; the scored model stopped at {wanted}.")
    if "PARAMETER temperature 0\n" not in told:
        raise CheckError("The Modelfile samples; the scored answers were greedy.")
    return to_gguf.check(subject, folder)


def _quoted(told: str, name: str) -> str:
    found = re.search(rf'^{name} """(.*?)"""$', told, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def evaluated(template: str, messages: Sequence[Mapping[str, Any]]) -> str:
    """What Go makes of the template: a range, if and else if over roles, quoted text; CheckError for anything else."""
    actions = re.findall(r"\{\{ (.*?) \}\}", template)
    if "".join(f"{{{{ {action} }}}}" for action in actions) != template:
        raise CheckError("The Modelfile's template has text or actions that were not written by this export.")
    return "".join(_run(actions, messages))


def _run(actions: Sequence[str], messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    first = actions.index("range .Messages") if "range .Messages" in actions else len(actions)
    last = len(actions) - 1 - [*reversed(actions)].index("end") if "end" in actions else len(actions)
    yield from map(json.loads, actions[:first])
    for message in messages:
        taken, live = False, False
        for action in actions[first + 1 : last]:
            if found := re.fullmatch(r'(?:else )?if eq \.Role "(\w+)"', action):
                live = not taken and message["role"] == found[1]
                taken = taken or live
            elif action == "end":
                live = False
            elif live:
                yield str(message["content"]) if action == ".Content" else json.loads(action)
    yield from map(json.loads, actions[last + 1 :])
