"""Opens an exported folder with transformers and peft alone and says what it predicts. A program, never imported.

    python -I outside.py < requests.jsonl

tuneproof is blocked from import: what needed it would fail here, as it would at whoever gets the export. A request
names the folder, the class that opens it and rows of token ids; its answer, a line too, has the logits (in a
safetensors file), the labels and generation settings as they are read from the folder, and the ids that its own
tokenizer and template make of the rows' texts; or the error. Nothing of one request is kept for the next.
"""

import gc
import json
import sys
import warnings
from typing import Any

sys.modules["tuneproof"] = None  # type: ignore[assignment]  # import then raises ImportError
warnings.simplefilter("ignore")  # what peft and transformers tell each other; the figures decide here

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def opened(request: dict[str, Any]) -> Any:
    auto = getattr(transformers, request["auto"])
    if request["base"] is None:
        return auto.from_pretrained(request["folder"], local_files_only=True, dtype=torch.float32).eval()
    from peft import PeftModel

    config = transformers.AutoConfig.from_pretrained(request["folder"], local_files_only=True)
    base = auto.from_pretrained(request["base"], config=config, local_files_only=True, dtype=torch.float32)
    return PeftModel.from_pretrained(base, request["folder"]).eval()


def reduced(logits: Any, row: dict[str, Any]) -> Any:
    """(positions, 2): loss of the right answer, and whether it is the likeliest; of numbers how right they are."""
    if row["numbers"] is not None:
        wanted = torch.tensor(row["numbers"])
        right = -(logits[0] - wanted).abs() if row["measured"] else ((logits[0] > 0) == (wanted > 0)).float()
        return torch.stack([right, right], dim=1)
    targets = row["targets"]
    logs = logits.log_softmax(-1)
    right = torch.tensor(targets)
    nll = -logs.gather(1, right[:, None])[:, 0]
    return torch.stack([nll, (logits.argmax(-1) == right).float()], dim=1)


def tensors(inputs: dict[str, list[int]]) -> dict[str, Any]:
    return {name: torch.tensor([ids]) for name, ids in inputs.items()}


def said(out: Any) -> Any:
    """(positions, values) of one row: logits, those of a stretch's start and end, or the states of a bare model."""
    if "start_logits" in out:
        return torch.cat([out["start_logits"], out["end_logits"]]).float()
    found = (out["logits"] if "logits" in out else out["last_hidden_state"]).float()
    return found if found.ndim == 2 else found[0]


def figures(model: Any, request: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index, row in enumerate(request["rows"]):
        logits = said(model(**tensors(row["inputs"])))
        chosen = logits if row["where"] is None else logits[row["where"]]
        found[str(index)] = (reduced(chosen, row) if request["reduce"] else chosen).contiguous()
    if request["states"] is not None:
        out = model(**tensors(request["states"]), output_hidden_states=True)
        states = out.encoder_hidden_states if "labels" in request["states"] else out.hidden_states
        for index, state in enumerate(states):
            found[f"state {index}"] = state[0].float().contiguous()
    return found


def read(tokenizer: Any, asked: dict[str, Any]) -> list[int]:
    if "messages" in asked:
        text = tokenizer.apply_chat_template(
            asked["messages"], tools=asked.get("tools"), tokenize=False, add_generation_prompt=True
        )
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return list(tokenizer(asked["text"])["input_ids"]) if set(asked) == {"text"} else []


def answer(request: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(request["threads"])
    with torch.inference_mode():
        model = opened(request)
        save_file(figures(model, request), request["out"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(request["folder"], local_files_only=True)
    config = model.config
    return {
        "labels": [config.id2label[index] for index in range(config.num_labels)] if request["labels"] else [],
        "ids": [read(tokenizer, asked) for asked in request["asked"]],
    }


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever else prints: not between the answers
    gc.freeze()  # what is imported stays
    for line in sys.stdin:
        try:
            told = answer(json.loads(line))
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {error}".strip().splitlines()[-1]}
        print(json.dumps(told), file=answers, flush=True)
        gc.collect()  # a model is a knot of references, and the next one may be as large


main()
