"""What a request may say: every field once, with its limits; anything else is refused.

    asked = read(Classify, body)       # Refusal 400 that names the field

The names are OpenAI's where OpenAI has one. A field that this server would not obey is no field of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuneproof.deploy.server.failures import Refusal

INPUTS = 128  # of one request
Text = str


class Body(BaseModel):
    """Closed and strict: no unknown field, no text that is a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    model: str = Field(min_length=1, max_length=200)
    user: str | None = Field(None, max_length=200)  # who asks: the same caller meets the same canary


class Inputs(Body):
    """One text or row, or several."""

    input: str | dict[str, Any] | list[str | dict[str, Any]]
    truncate: bool = False

    @property
    def rows(self) -> list[str | dict[str, Any]]:
        return self.input if isinstance(self.input, list) else [self.input]


class Classify(Inputs):
    top_k: int | None = Field(None, ge=1, le=20)


class Answer(Body):
    question: str = Field(min_length=1)
    context: str = Field(min_length=1)


class Embed(Body):
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: None = None

    @property
    def rows(self) -> list[str | dict[str, Any]]:
        return [*self.input] if isinstance(self.input, list) else [self.input]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False


class Writing(Body):
    """How an answer is to be written. Without a temperature it is greedy, as it was when the model was scored."""

    max_tokens: int | None = Field(None, ge=1, le=32768)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**31)
    n: int = Field(1, ge=1, le=8)
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        found = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        if len(found) > 8 or any(not text or len(text) > 200 for text in found):
            raise Refusal(400, "stop: at most 8 texts of 1 to 200 characters.", param="stop", code="invalid_value")
        return found


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None

    @property
    def plain(self) -> dict[str, str]:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": self.role, "content": text}


class Chat(Writing):
    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=1, le=32768)


class Completion(Writing):
    prompt: str = Field(min_length=1)


class Feedback(BaseModel):
    """What a caller knows better: the right label or text, or a mark from 0 to 1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: str = Field(pattern=r"^[0-9a-f]{24}$")
    index: int = Field(0, ge=0, lt=INPUTS)
    label: str | None = Field(None, min_length=1, max_length=200)
    text: str | None = Field(None, min_length=1, max_length=32768)
    score: float | None = Field(None, ge=0, le=1)


Kind = TypeVar("Kind", bound=BaseModel)


def read(kind: type[Kind], body: bytes) -> Kind:
    """The body as ``kind``; Refusal 400 that says which field is wrong, without a word of what it holds."""
    try:
        found = json.loads(body, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON in UTF-8.", code="invalid_json") from None
    if not isinstance(found, dict):
        raise Refusal(400, "The body must be a JSON object.", code="invalid_json")
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = _place(first["loc"])
        raise Refusal(
            400, f"{place}: {_said(first)}", param=str(first["loc"][0])[:80], code=_code(first["type"])
        ) from None
    except RecursionError:
        raise Refusal(400, "The body is nested too deeply.", code="invalid_json") from None


# What a field may be that is one of several things: pydantic would name the first of them alone.
ONE_OF = {
    "input": "give a text, a row as an object, or a list of them.",
    "content": "give a text, or a list of parts of the type text.",
    "stop": "give a text, or a list of texts.",
}


def _place(loc: Sequence[str | int]) -> str:
    """The field, such as messages.0.content, without the kinds of thing that were tried for it."""
    ends = [index for index, part in enumerate(loc) if part in ONE_OF]
    return ".".join(str(part)[:80] for part in (loc[: ends[0] + 1] if ends else loc))


def _said(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "there is no such field, or this server would not obey it."
    named = [part for part in fault["loc"] if part in ONE_OF]
    if named and fault["type"] != "missing":
        return ONE_OF[named[0]]
    message: str = fault["msg"]
    return f"{message[0].lower()}{message[1:]}."


def _code(kind: str) -> str:
    return {"extra_forbidden": "unknown_field", "missing": "missing_field"}.get(kind, "invalid_value")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
