"""Chat templates of the kinds that are in use, each with a tiny tokenizer that knows its special tokens.

    encoder = build(tmp_path, FORMATS["llama3"])

The templates are written here from the public descriptions of each format, not copied from any model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiny import CHATML, byte_level_tokenizer

from tuneproof.modalities import ChatEncoder

LLAMA3 = (  # strips what is said, and writes BOS itself
    "{% for message in messages %}"
    "{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA_TURNS = (
    "{% for message in turns %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + (lead if loop.first else '') + message['content'] | trim"
    " + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
GEMMA = (  # knows no system prompt
    "{{ bos_token }}{% set lead = '' %}{% set turns = messages %}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
) + GEMMA_TURNS
GEMMA_FOLDED = (  # the system prompt goes into the first user turn
    "{{ bos_token }}{% set lead = '' %}{% set turns = messages %}"
    "{% if messages[0]['role'] == 'system' %}"
    "{% set lead = messages[0]['content'] | trim + '\n\n' %}{% set turns = messages[1:] %}{% endif %}"
) + GEMMA_TURNS
MISTRAL_TURNS = (
    "{% for message in turns %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + (lead if loop.first else '') + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported') }}{% endif %}"
    "{% endfor %}"
)
MISTRAL = "{{ bos_token }}{% set lead = '' %}{% set turns = messages %}" + MISTRAL_TURNS
MISTRAL_FOLDED = (
    "{{ bos_token }}{% set lead = '' %}{% set turns = messages %}"
    "{% if messages[0]['role'] == 'system' %}"
    "{% set lead = messages[0]['content'] + '\n\n' %}{% set turns = messages[1:] %}{% endif %}"
) + MISTRAL_TURNS
# ChatML with tools: their list in the system turn, calls and results as JSON between tags.
TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n' }}{% if messages[0]['role'] == 'system' %}"
    "{{ messages[0]['content'] + '\n' }}{% endif %}{{ 'Tools:' }}"
    "{% for tool in tools %}{{ '\n' + tool | tojson }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' and tools %}"
    "{% elif message['role'] == 'tool' %}"
    "{% if loop.previtem['role'] != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
    "{{ '\n<result>' + message['content'] + '</result>' }}"
    "{% if loop.last or loop.nextitem['role'] != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% else %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{% for call in message['tool_calls'] or [] %}"
    "{{ '\n<call>{\"name\": \"' + call['function']['name'] + '\", \"arguments\": ' }}"
    "{{ call['function']['arguments'] | tojson + '}</call>' }}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Format:
    """A template with its special tokens, and what is to be expected of it."""

    template: str | None
    special: tuple[str, ...]
    bos: str | None
    eos: str | None
    end: str  # what closes an answer
    adds_bos: bool = False  # the tokenizer itself writes BOS
    trims: bool = False  # white space around a message is dropped
    system: bool = True  # a system prompt is rendered, not refused
    lead: str = ""  # what stands between the opening of an answer and its first word


CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA_TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
GEMMA_TOKENS = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
MISTRAL_TOKENS = ("<s>", "</s>", "[INST]", "[/INST]")

FORMATS = {
    "chatml": Format(CHATML, CHATML_TOKENS, None, "<|im_end|>", "<|im_end|>"),
    "llama3": Format(
        LLAMA3, LLAMA_TOKENS, "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", adds_bos=True, trims=True
    ),
    "gemma": Format(GEMMA, GEMMA_TOKENS, "<bos>", "<eos>", "<end_of_turn>", adds_bos=True, trims=True, system=False),
    "gemma folded": Format(GEMMA_FOLDED, GEMMA_TOKENS, "<bos>", "<eos>", "<end_of_turn>", adds_bos=True, trims=True),
    "mistral": Format(MISTRAL, MISTRAL_TOKENS, "<s>", "</s>", "</s>", adds_bos=True, system=False, lead=" "),
    "mistral folded": Format(MISTRAL_FOLDED, MISTRAL_TOKENS, "<s>", "</s>", "</s>", adds_bos=True, lead=" "),
    "no template": Format(None, ("<s>", "</s>"), "<s>", "</s>", "</s>", adds_bos=True, lead=" "),
    "tools": Format(TOOLS, CHATML_TOKENS, None, "<|im_end|>", "<|im_end|>"),
}


def build(folder: Path, format: Format, limit: int = 256) -> ChatEncoder:
    """The encoder of a tokenizer that is written to ``folder``."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    inner = byte_level_tokenizer(list(format.special))
    if format.adds_bos:
        bos = format.bos
        inner.post_processor = TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, inner.token_to_id(bos))]
        )
    pairs = (("bos_token", format.bos), ("eos_token", format.eos))
    names = {name: token for name, token in pairs if token is not None}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    tokenizer.chat_template = format.template
    tokenizer.save_pretrained(folder)
    return ChatEncoder(folder, limit)
