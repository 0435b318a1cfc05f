"""The ONE chat renderer: training, evaluation and generation all turn messages into ids here.

    encoder = ChatEncoder(folder, 1024)
    rendered = encoder.render([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}])
    rendered.pieces        # (("<|im_start|>user...", False), ("hello<|im_end|>", True), ("\\n", False))

Loss lies on what the assistant says, end-of-turn token included, and on nothing else. The text is tokenised piece
by piece, cut where an answer begins and ends, so the ids of a prompt in training are the ids of that prompt in
generation whatever the answer starts with. ``check`` proves the mask on a row, or refuses.

What people write gives no orders: "<|im_end|>" inside a message is read as those ten letters, never as the token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError

from tuneproof.errors import CheckError
from tuneproof.modalities.encoding import Batch, Example, collate, load_tokenizer, shortened

Message = Mapping[str, Any]

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


@dataclass(frozen=True, slots=True)
class Rendered:
    """A dialogue as text pieces and as ids; ``loss[i]`` says that ``ids[i]`` is learnt."""

    pieces: tuple[tuple[str, bool], ...]
    ids: list[int]
    loss: list[bool]


class ChatEncoder:
    """One tokenizer with its chat template, one limit."""

    def __init__(self, folder: Path, max_length: int) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.max_length = max_length
        if self.tokenizer.chat_template is None:
            self.tokenizer.chat_template = PLAIN_TEMPLATE
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.bos = self.tokenizer.bos_token_id
        plain = self.tokenizer("x")["input_ids"]
        self._adds_bos = self.bos is not None and plain[0] == self.bos
        self._special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        orders = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        orders |= set(self.tokenizer.all_special_tokens)
        self._guarded = [GUARD, *sorted(orders, key=lambda text: (-len(text), text))]  # the longest match wins
        self._guard = re.compile("|".join(map(re.escape, self._guarded)))

    # -- messages to text

    def render(self, messages: Sequence[Message]) -> Rendered:
        """The whole dialogue, however long."""
        return self._encode(self._pieces(self._safe(messages)))

    def prompt(self, messages: Sequence[Message]) -> Rendered:
        """Everything up to where the assistant's next answer begins."""
        messages = self._safe(messages)
        full = self._template(messages, opened=True)
        done = self._pieces(messages)
        text = "".join(piece for piece, _ in done)
        if not full.startswith(text):
            raise self._unprovable("the opening of an answer changes what was said before it")
        rest = full[len(text) :]
        if done and not done[-1][1]:
            rest = done[-1][0] + rest
            done = done[:-1]
        return self._encode((*((piece, False) for piece, _ in done), (rest, False)))

    def _pieces(self, messages: Sequence[Message]) -> tuple[tuple[str, bool], ...]:
        """Alternating text without and with loss; each assistant turn is one piece with loss."""
        full = self._template(messages)
        pieces: list[tuple[str, bool]] = []
        at = 0
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            start = len(self._prefix(full, messages[:index], opened=True)) if index else self._opening(full, message)
            end = start + self._answer_length(full[start : len(self._prefix(full, messages[: index + 1]))], message)
            pieces += [(full[at:start], False), (full[start:end], True)]
            at = end
        return tuple(piece for piece in (*pieces, (full[at:], False)) if piece[0])

    def _opening(self, full: str, message: Message) -> int:
        """Where the text of a dialogue's very first turn begins, when that turn is the assistant's: many templates
        open with a system prompt of their own, which rendering nothing does not show. What two different first
        turns render alike comes before the text."""
        said = str(message["content"]).lstrip()
        other = self._template([{"role": "assistant", "content": "b" if said.startswith("a") else "a"}])
        alike = next((at for at, (x, y) in enumerate(zip(full, other, strict=False)) if x != y), len(full))
        if not full[alike:].lstrip().startswith(said[:20]):
            raise self._unprovable("a dialogue that begins with the assistant does not render as given")
        return alike

    def _prefix(self, full: str, messages: Sequence[Message], *, opened: bool = False) -> str:
        prefix = self._template(messages, opened=opened)
        if not full.startswith(prefix):
            raise self._unprovable(
                f"the first {len(messages)} messages render differently alone and within the dialogue"
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
        return body

    def _end_tokens(self) -> list[str]:
        return [str(self.tokenizer.convert_ids_to_tokens(id)) for id in self._special]

    def _template(self, messages: Sequence[Message], *, opened: bool = False) -> str:
        try:  # transformers renders in jinja2's immutable sandbox
            text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=opened)
        except (TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            raise CheckError(f"The model's chat template cannot render a dialogue: {error}.") from error
        return str(text)

    def _unprovable(self, why: str) -> CheckError:
        return CheckError(
            f"With this chat template it cannot be proved which tokens are the assistant's: {why}.",
            "Choose another model, or give its tokenizer a template that renders turn by turn.",
        )

    # -- text of people, kept apart from the template's orders

    def _safe(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with every special token's text in them guarded."""

        def guard(match: re.Match[str]) -> str:
            return GUARD + chr(ord(GUARD) + 1 + self._guarded.index(match[0]))

        return [
            {key: self._guard.sub(guard, value) if isinstance(value, str) else value for key, value in message.items()}
            for message in messages
        ]

    def _meant(self, code: str) -> str:
        return self._guarded[ord(code) - ord(GUARD) - 1]

    # -- text to ids

    def _encode(self, pieces: tuple[tuple[str, bool], ...]) -> Rendered:
        ids: list[int] = []
        loss: list[bool] = []
        for text, learnt in pieces:
            new = self._ids(text)
            ids += new
            loss += [learnt] * len(new)
        if self._adds_bos and (not ids or ids[0] != self.bos):
            ids, loss = [self.bos, *ids], [False, *loss]
        shown = tuple((GUARDED.sub(lambda match: self._meant(match[1]), text), learnt) for text, learnt in pieces)
        return Rendered(shown, ids, loss)

    def _ids(self, text: str) -> list[int]:
        """Ids of a rendered text: what is guarded in it as letters, the rest as the template means it."""
        ids: list[int] = []
        for index, part in enumerate(GUARDED.split(text)):  # text, code, text, code, ..., text
            if index % 2 == 0:
                ids += self.tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
            else:
                ids += self._letters(self._meant(part))
        return ids

    def _letters(self, text: str) -> list[int]:
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        if self._special.intersection(ids):
            raise CheckError(
                f"A message holds the text {text!r}, which this model's tokenizer cannot tell from its special token.",
                "Remove that text from the message.",
            )
        return list(ids)

    def example(self, messages: Sequence[Message]) -> Example:
        """The dialogue as a training example, checked."""
        rendered = self.render(messages)
        self.check(rendered)
        return Example(rendered.ids, loss=rendered.loss)

    def check(self, rendered: Rendered) -> None:
        """Prove one row: a mask that is not empty, each answer closed by a learnt end of turn, at most one BOS."""
        answers = [text for text, learnt in rendered.pieces if learnt]
        if not any(rendered.loss):
            raise CheckError("A row has no token that carries loss.", "Every row needs an answer of the assistant.")
        closed = sum(
            1
            for i, (id, learnt) in enumerate(zip(rendered.ids, rendered.loss, strict=True))
            if learnt and id in self._special and (i + 1 == len(rendered.ids) or not rendered.loss[i + 1])
        )
        if closed < len(answers):
            raise CheckError("An answer's end-of-turn token carries no loss: the model could not learn to stop.")
        if self._adds_bos and rendered.ids[0] != self.bos:
            raise CheckError("A row does not begin with the begin-of-sequence token.")
        if self.bos is not None and rendered.ids[:2] == [self.bos, self.bos]:
            raise CheckError("A row begins with two begin-of-sequence tokens.", "The template already writes one.")

    @property
    def stops(self) -> list[int]:
        """Ids that end an answer in generation: the end of turn as the template writes it, and the end of text."""
        rendered = self.render([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
        last = max(i for i, learnt in enumerate(rendered.loss) if learnt)
        return sorted({rendered.ids[last], self.tokenizer.eos_token_id} - {None})

    def cut(self, example: Example) -> Example:
        return example if len(example) <= self.max_length else shortened(example, self.max_length)

    def collate(self, examples: Sequence[Example]) -> Batch:
        return collate(examples, self.tokenizer.pad_token_id)

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)
