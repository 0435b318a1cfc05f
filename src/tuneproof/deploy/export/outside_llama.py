"""Runs a GGUF file in llama.cpp and prints the first token of each answer. A program, never imported.

    python -I outside_llama.py < request.json

The request names the file, a context length and prompts as token ids; each line of the answer is one prompt's likeliest
next token with its log probability.
"""

import json
import sys

import xllamacpp

request = json.load(sys.stdin)
params = xllamacpp.CommonParams()
params.model.path = request["file"]
params.n_ctx = request["context"]
params.n_parallel = 1
params.cpuparams.n_threads = request["threads"]
params.warmup = False
server = xllamacpp.Server(params)
for ids in request["prompts"]:
    said = server.handle_completions({"prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": 1})
    told = said if isinstance(said, dict) else json.loads(said)
    first = told["choices"][0]["logprobs"]["content"][0]
    print("SAID " + json.dumps({"id": first["id"], "logprob": first["logprob"]}), flush=True)
