"""Opens saved folders with transformers and peft alone and prints what they predict; read by test_tasks_methods.py.

Run as a program: tuneproof is blocked from import, so a folder that needed it would fail here.
"""

import json
import sys
import warnings

sys.modules["tuneproof"] = None  # import then raises ImportError
warnings.simplefilter("ignore")  # peft and transformers to each other; not what is tested here

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import PeftModel  # noqa: E402

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)


def opened(request):
    auto = getattr(transformers, request["auto"])
    if request["base"] is None:
        return auto.from_pretrained(request["folder"]).eval()
    labels = {"num_labels": request["labels"]} if request["labels"] else {}
    return PeftModel.from_pretrained(auto.from_pretrained(request["base"], **labels), request["folder"]).eval()


def span_loss(model, windows):
    """Of one question: start and end are each a softmax over the context tokens of all of its windows."""
    sides = ([], [])
    for window in windows:
        types = {} if window["types"] is None else {"token_type_ids": torch.tensor([window["types"]])}
        out = model(input_ids=torch.tensor([window["ids"]]), **types)
        kept = [0, *range(window["first"], window["first"] + window["count"])]
        for side, logits in zip(sides, (out.start_logits, out.end_logits), strict=True):
            side.append((logits[0].float(), kept))
    answered = any(sum(window["span"]) for window in windows)
    loss = 0.0
    for which, side in enumerate(sides):
        everything = torch.cat([logits[kept] for logits, kept in side]).logsumexp(0)
        right = [
            logits[window["span"][which]]
            for (logits, _), window in zip(side, windows, strict=True)
            if sum(window["span"]) or not answered
        ]
        loss += float(everything - torch.stack(right).logsumexp(0)) / 2
    return [loss]


def label_figures(model, row):
    """Of a chat model that is asked for a label: each label alone behind the question, nothing shared."""
    start = row["loss"].index(True)
    logs = []
    for ids in row["choices"]:
        said = model(input_ids=torch.tensor([row["ids"][:start] + ids])).logits[0].float().log_softmax(-1)
        logs.append(sum(float(said[i - len(ids) - 1, id]) for i, id in enumerate(ids)))
    shares = torch.tensor(logs, dtype=torch.float64).log_softmax(0)
    return [-float(shares[row["label"]]), *(float(share) for share in shares.exp())]  # labels stand in their order


def figures(model, row):
    if row["choices"]:
        return label_figures(model, row)
    if row["windows"]:
        return span_loss(model, row["windows"])
    if row["parts"]:
        states = [model(input_ids=torch.tensor([ids])).last_hidden_state[0] for ids in row["parts"]]
        vectors = [torch.nn.functional.normalize(state.float().mean(0), dim=-1) for state in states]
        return [float(x) for vector in vectors for x in vector]
    if row["target"]:
        said = model(input_ids=torch.tensor([row["ids"]]), labels=torch.tensor([row["target"]])).logits[0]
        logs = said.float().log_softmax(-1)
        return [-sum(float(logs[i, id]) for i, id in enumerate(row["target"]))]
    logits = model(input_ids=torch.tensor([row["ids"]])).logits[0].float()
    if row["scale"] is not None:  # as the card of the model says
        return [float(logits[0]) * row["scale"][1] + row["scale"][0]]
    if row["values"] is not None:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.tensor(row["values"]), reduction="sum"
        )
        return [float(loss), *(float(share) for share in logits.sigmoid())]  # labels are numbered in their order
    logs = logits.log_softmax(-1)
    if row["tags"] is not None:
        return [-sum(float(logs[i, tag]) for i, tag in enumerate(row["tags"]) if tag >= 0)]
    if row["loss"] is None:
        names = model.config.id2label
        shares = {names[i]: float(p) for i, p in enumerate(logs.exp())}
        if model.config.id2label == {0: "LABEL_0", 1: "LABEL_1"}:
            shares = {i: float(p) for i, p in enumerate(logs.exp())}
        return [-float(logs[row["label"]]), *(shares[name] for name in sorted(shares))]
    logs = logs[-len(row["ids"]) :]  # tokens that an adapter puts before the text have logits too
    learnt = [i for i in range(1, len(row["ids"])) if row["loss"][i]]
    return [-sum(float(logs[i - 1, row["ids"][i]]) for i in learnt)]


answers = {}
for request in json.load(sys.stdin):
    with torch.inference_mode():
        model = opened(request)
        answers[request["name"]] = [figures(model, row) for row in request["rows"]]
    answers[request["name"] + " learnt"] = [
        row["loss"] or [tag >= 0 for tag in row["tags"] or []] or [1] * len(row["target"] or [])
        for row in request["rows"]
    ]
    transformers.AutoTokenizer.from_pretrained(request["folder"])
json.dump(answers, sys.stdout)
