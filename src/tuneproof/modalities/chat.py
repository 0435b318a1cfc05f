"""The ONE chat renderer: training, evaluation and generation all turn messages into ids here.

    encoder = ChatEncoder(folder, 1024)
    rendered = encoder.render([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}])
    rendered.pieces        # (("<|im_start|>user...", False), ("hello<|im_end|>", True), ("\\n", False))

Loss lies on what the assistant says, end-of-turn token included, and on nothing else. The text is tokenised piece
by piece, cut where an answer begins and ends, so the ids of a prompt in training are the ids of that prompt in
generation whatever the answer starts with. ``check`` proves the mask on a row, or refuses.

What people write gives no orders: "<|im_end|>" inside a message is read as those ten letters, never as the token.
Tools, calls and results have to stand in what the template writes, or the row is refused (``NotShown``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError

from tuneproof.errors import CheckError
from tuneproof.modalities.encoding import Batch, Example, Piece, Reader, collate, load_tokenizer, shortened
from tuneproof.modalities.tools import names, uses_tools, writes

Message = Mapping[str, Any]
Tools = Sequence[Mapping[str, Any]]

# For base models that come without a template: words that any tokenizer knows, closed by its end-of-text token.
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token + '\n' }}"
    "{% else %}{{ message['role'] | capitalize + ': ' + message['content'] + '\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"  # the space belongs to the answer's first word
)

# While a template renders, a special token's text inside a message is replaced by two characters of private use: this
# one, and one that says which text it was (0 is this character itself, should a message hold it).
GUARD = "\U000f0000"
GUARDED = re.compile(GUARD + "(.)", re.DOTALL)


class NotShown(CheckError):
    """A row has tools, calls or results that the chat template does not write, or not in a way that can be proved."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A dialogue as text pieces, each with the weight of its tokens in the loss, and as ids; 0 is not learnt."""

    pieces: tuple[tuple[str, float], ...]
    ids: list[int]
    weights: list[float]  # of ``ids``
    counts: tuple[int, ...]  # ids of each piece; one more stands before them where the tokenizer adds BOS
    neutralised: int  # special tokens' texts in the messages, read as letters

    @property
    def loss(self) -> list[bool]:
        """Of each id whether it is learnt."""
        return [weight != 0 for weight in self.weights]


@dataclass(frozen=True, slots=True)
class _Dialogue:
    """Messages and tools with people's text guarded."""

    messages: Sequence[Message]
    tools: Tools | None
    weights: Sequence[float]  # of each message; 0 where it is not learnt

    def first(self, count: int) -> _Dialogue:
        return _Dialogue(self.messages[:count], self.tools, self.weights[:count])


class ChatEncoder:
    """One tokenizer with its chat template, one limit."""

    def __init__(self, folder: Path, max_length: int) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.max_length = max_length
        if self.tokenizer.chat_template is None:
            self.tokenizer.chat_template = PLAIN_TEMPLATE
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self._read = Reader(self.tokenizer)
        self.bos = self.tokenizer.bos_token_id
        plain = self._read("x")["input_ids"]
        self._adds_bos = self.bos is not None and plain[0] == self.bos
        self._special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        orders = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        orders |= set(self.tokenizer.all_special_tokens)
        self._guarded = [GUARD, *sorted(orders, key=lambda text: (-len(text), text))]  # the longest match wins
        self._guard = re.compile("|".join(map(re.escape, self._guarded)))

    # -- messages to text

    def render(self, messages: Sequence[Message], tools: Tools | None = None) -> Rendered:
        """The whole dialogue, however long. An assistant's message of weight 0 is read and carries no loss."""
        dialogue = self._dialogue(messages, tools)
        return self._encode(self._pieces(dialogue))

    def prompt(self, messages: Sequence[Message], tools: Tools | None = None) -> Rendered:
        """Everything up to where the assistant's next answer begins; nothing of it carries loss."""
        unweighted = [{key: value for key, value in message.items() if key != "weight"} for message in messages]
        dialogue = self._dialogue(unweighted, tools)
        full = self._template(dialogue, opened=True)
        done = self._pieces(dialogue)
        text = "".join(piece for piece, _ in done)
        if not full.startswith(text):
            raise self._unprovable("the opening of an answer changes what was said before it")
        rest = full[len(text) :]
        if done and not done[-1][1]:
            rest = done[-1][0] + rest
            done = done[:-1]
        return self._encode((*((piece, 0.0) for piece, _ in done), (rest, 0.0)))

    def _pieces(self, dialogue: _Dialogue) -> tuple[tuple[str, float], ...]:
        """Text between the answers, and answers; each assistant turn is one piece, learnt unless its weight is 0."""
        full = self._template(dialogue)
        pieces: list[tuple[str, float]] = []
        at = 0
        for index, message in enumerate(dialogue.messages):
            if message["role"] == "tool" and not writes(full, message["content"]):
                raise self._unprovable("the result of a tool is not in the rendered dialogue")
            if message["role"] != "assistant":
                continue
            before, with_it = dialogue.first(index), dialogue.first(index + 1)
            start = len(self._prefix(full, before, opened=True)) if index else self._opening(full, dialogue)
            end = start + self._answer_length(full[start : len(self._prefix(full, with_it))], message)
            if index == 1 and self._holds_other(full[start:end], message, dialogue.messages[0]):
                raise self._unprovable("the system prompt is rendered within the assistant's first turn")
            pieces += [(full[at:start], 0.0), (full[start:end], dialogue.weights[index])]
            at = end
        if not writes(full, names(dialogue.tools or ())):
            raise self._unprovable("the tools are not in the rendered dialogue")
        return tuple(piece for piece in (*pieces, (full[at:], 0.0)) if piece[0])

    def _opening(self, full: str, dialogue: _Dialogue) -> int:
        """Where the text of a dialogue's very first turn begins, when that turn is the assistant's: many templates
        open with a system prompt of their own, which rendering nothing does not show. What two different first
        turns render alike comes before the text."""
        said = str(dialogue.messages[0]["content"]).lstrip()
        turn = {"role": "assistant", "content": "b" if said.startswith("a") else "a"}
        other = self._template(_Dialogue([turn], dialogue.tools, [1.0]))
        alike = next((at for at, (x, y) in enumerate(zip(full, other, strict=False)) if x != y), len(full))
        if not full[alike:].lstrip().startswith(said[:20]):
            raise self._unprovable("a dialogue that begins with the assistant does not render as given")
        return alike

    def _holds_other(self, turn: str, message: Message, before: Message) -> bool:
        """Whether a system prompt was put into the turn that follows it, and that turn is the assistant's."""
        said, system = str(message["content"]).strip(), str(before["content"]).strip()
        lead = turn.rpartition(said)[0] if said else turn
        return before["role"] == "system" and bool(system) and system in lead

    def _prefix(self, full: str, dialogue: _Dialogue, *, opened: bool = False) -> str:
        prefix = self._template(dialogue, opened=opened)
        if not full.startswith(prefix):
            raise self._unprovable(
                f"the first {len(dialogue.messages)} messages render differently alone and within the dialogue"
            )
        return prefix

    def _answer_length(self, turn: str, message: Message) -> int:
        """Characters of an assistant turn up to and including its end-of-turn token."""
        body = len(turn.rstrip())
        ends = [token for token in self._end_tokens() if turn[:body].endswith(token)]
        if not ends:
            raise CheckError(
                f"The chat template closes an assistant turn with {turn[-20:]!r}, which is no special token: "
                "the model could not learn to stop.",
                "Use a template whose assistant turns end with the end-of-turn token.",
            )
        if str(message["content"]).strip() not in turn:
            raise self._unprovable("the assistant's text is not in the rendered turn as it was given")
        if not writes(turn, [call["function"] for call in message.get("tool_calls", ())]):
            raise self._unprovable("the assistant's tool calls are not in the rendered turn")
        return body

    def _end_tokens(self) -> list[str]:
        return [str(self.tokenizer.convert_ids_to_tokens(id)) for id in self._special]

    def _template(self, dialogue: _Dialogue, *, opened: bool = False) -> str:
        try:  # transformers renders in jinja2's immutable sandbox
            text = self.tokenizer.apply_chat_template(
                list(dialogue.messages), tools=dialogue.tools, tokenize=False, add_generation_prompt=opened
            )
        except (TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            raise CheckError(f"The model's chat template cannot render a dialogue: {error}.") from error
        return str(text)

    def _unprovable(self, why: str) -> CheckError:
        return CheckError(
            f"With this chat template it cannot be proved which tokens are the assistant's: {why}.",
            "Choose another model, or give its tokenizer a template that renders turn by turn.",
        )

    # -- text of people, kept apart from the template's orders

    def _dialogue(self, messages: Sequence[Message], tools: Tools | None) -> _Dialogue:
        """What is rendered: every special token's text in messages and tools guarded, weights apart."""
        weights = [float(message.get("weight", 1)) * (message["role"] == "assistant") for message in messages]
        plain = [{key: value for key, value in message.items() if key != "weight"} for message in messages]
        return _Dialogue(self._safe(plain), self._safe(tools) if tools else None, weights)

    def _safe(self, value: Any) -> Any:
        """``value`` with every special token's text in its strings guarded."""
        if isinstance(value, str):
            return self._guard.sub(lambda found: GUARD + chr(ord(GUARD) + 1 + self._guarded.index(found[0])), value)
        if isinstance(value, Mapping):
            return {self._safe(key): self._safe(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._safe(item) for item in value]
        return value

    def _meant(self, code: str) -> str:
        return self._guarded[ord(code) - ord(GUARD) - 1]

    # -- text to ids

    def _encode(self, pieces: tuple[tuple[str, float], ...]) -> Rendered:
        spans = [self._ids(text) for text, _ in pieces]
        ids = [id for span in spans for id in span]
        weights = [weight for (_, weight), span in zip(pieces, spans, strict=True) for _ in span]
        if self._adds_bos and (not ids or ids[0] != self.bos):
            ids, weights = [self.bos, *ids], [0.0, *weights]
        shown = tuple((GUARDED.sub(lambda match: self._meant(match[1]), text), weight) for text, weight in pieces)
        orders = sum(self._meant(code) != GUARD for text, _ in pieces for code in GUARDED.findall(text))
        return Rendered(shown, ids, weights, tuple(map(len, spans)), orders)

    def _ids(self, text: str) -> list[int]:
        """Ids of a rendered text: what is guarded in it as letters, the rest as the template means it."""
        ids: list[int] = []
        for index, part in enumerate(GUARDED.split(text)):  # text, code, text, code, ..., text
            if index % 2 == 0:
                ids += self._read(part, add_special_tokens=False)["input_ids"]
            else:
                ids += self._letters(self._meant(part))
        return ids

    def _letters(self, text: str) -> list[int]:
        ids = self._read(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if self._special.intersection(ids):
            raise CheckError(
                f"A message holds the text {text!r}, which this model's tokenizer cannot tell from its special token.",
                "Remove that text from the message.",
            )
        return list(ids)

    # -- rows, proved

    def example(self, messages: Sequence[Message], tools: Tools | None = None) -> Example:
        """The dialogue as a training example, checked; NotShown where tools are in it and it cannot be proved."""
        try:
            rendered = self.render(messages, tools)
            self.check(rendered)
        except CheckError as error:
            if not uses_tools(messages, tools):
                raise
            raise NotShown(f"The model's chat template does not show the tools of a row: {error.message}") from error
        weights = rendered.weights if set(rendered.weights) - {0.0, 1.0} else None
        return Example(rendered.ids, loss=rendered.loss, weights=weights, neutralised=rendered.neutralised)

    def view(self, messages: Sequence[Message], tools: Tools | None = None) -> list[Piece]:
        """The whole dialogue as a person reads it, each piece with its ids; BOS is one of its own where it is added."""
        rendered = self.render(messages, tools)
        at = len(rendered.ids) - sum(rendered.counts)
        found = [Piece(str(self.tokenizer.bos_token), False, rendered.ids[:at])] if at else []
        for (text, weight), count in zip(rendered.pieces, rendered.counts, strict=True):
            found.append(Piece(text, weight != 0, rendered.ids[at : at + count], weight or 1.0))
            at += count
        return found

    def check(self, rendered: Rendered) -> None:
        """Prove one row: its ids spell its pieces, the learnt ones what is to be learnt; the mask is not empty, each
        answer is closed by a learnt end of turn, and there is at most one BOS."""
        self._check_mask(rendered)
        loss = rendered.loss
        if not any(loss):
            raise CheckError("A row has no token that carries loss.", "Every row needs an answer of the assistant.")
        if loss[0]:
            raise CheckError("A row begins with a token to learn, and nothing comes before it to predict it from.")
        answers = [text for text, learnt in rendered.pieces if learnt]
        closed = sum(
            1
            for i, (id, learnt) in enumerate(zip(rendered.ids, loss, strict=True))
            if learnt and id in self._special and (i + 1 == len(rendered.ids) or not loss[i + 1])
        )
        if closed < len(answers):
            raise CheckError("An answer's end-of-turn token carries no loss: the model could not learn to stop.")
        if self._adds_bos and rendered.ids[0] != self.bos:
            raise CheckError("A row does not begin with the begin-of-sequence token.")
        if self.bos is not None and rendered.ids[:2] == [self.bos, self.bos]:
            raise CheckError("A row begins with two begin-of-sequence tokens.", "The template already writes one.")

    def _check_mask(self, rendered: Rendered) -> None:
        """The ids of each piece, read back, are its text, and all of them are learnt or none."""
        at = len(rendered.ids) - sum(rendered.counts)
        if any(rendered.weights[:at]) or len(rendered.weights) != len(rendered.ids):
            raise CheckError("The mask of a row is not as long as its ids, or begins with a token that nobody said.")
        for (text, weight), count in zip(rendered.pieces, rendered.counts, strict=True):
            ids, weights = rendered.ids[at : at + count], rendered.weights[at : at + count]
            at += count
            if any(one != weight for one in weights):
                raise CheckError(f"The mask of a row does not fit its text: {text[-40:]!r} is learnt in part only.")
            if not self._spells(ids, text):
                raise CheckError(f"The ids of a row do not spell its text: {text[-40:]!r} comes out otherwise.")

    def _spells(self, ids: list[int], text: str) -> bool:
        """Whether ``ids`` read back as ``text``, white space aside; a tokenizer that alters text alters it alike."""
        back = self._read_back(ids)
        if back == "".join(text.split()):
            return True
        return back == self._read_back(self._read(text, add_special_tokens=False)["input_ids"])

    def _read_back(self, ids: list[int]) -> str:
        return "".join(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False).split())

    @property
    def stops(self) -> list[int]:
        """Ids that end an answer in generation: the end of turn as the template writes it, and the end of text."""
        rendered = self.render([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
        last = max(i for i, weight in enumerate(rendered.weights) if weight)
        return sorted({rendered.ids[last], self.tokenizer.eos_token_id} - {None})

    def cut(self, example: Example) -> Example:
        if example.longest <= self.max_length:
            return example
        within = example.shorter() if example.shorter is not None else None
        if within is not None:
            return within
        short = shortened(example, self.max_length)
        if example.label is not None and short.units < example.units:  # a part of a label is no label
            return replace(short, loss=[False] * len(short.ids))
        return short

    def collate(self, examples: Sequence[Example]) -> Batch:
        return collate(examples, self.tokenizer.pad_token_id)

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)
