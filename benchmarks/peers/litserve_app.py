"""A classifier behind LitServe, as its documentation writes one; started by serving_peers.py.

python litserve_app.py MODEL PORT WORKERS THREADS BATCH WAIT
"""

import sys
from typing import Any

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Classifier(litserve.LitAPI):
    def __init__(self, model: str, threads: int, **how: Any) -> None:
        super().__init__(**how)
        self.folder = model
        self.threads = threads

    def setup(self, device: str) -> None:
        torch.set_num_threads(self.threads)
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(self.folder).eval()

    def decode_request(self, request: dict[str, str]) -> str:
        return request["input"]

    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        with torch.inference_mode():
            inputs = self.tokenizer(texts, padding=True, return_tensors="pt")
            shares, places = self.model(**inputs).logits.softmax(-1).max(-1)
        names = self.model.config.id2label
        return [
            {"label": names[place], "confidence": share}
            for place, share in zip(places.tolist(), shares.tolist(), strict=True)
        ]

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    model, port, workers, threads, batch, wait = sys.argv[1:]
    api = Classifier(model, int(threads), max_batch_size=int(batch), batch_timeout=float(wait))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(workers), timeout=60)
    server.run(host="127.0.0.1", port=int(port), log_level="error", generate_client_file=False)
