"""What the methods refuse, and what they choose, on models whose parts are counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import settings

from tuneproof.config import build
from tuneproof.errors import ConfigError, ModelError
from tuneproof.methods import METHODS, method
from tuneproof.methods.parts import Parts
from tuneproof.records import Schema
from tuneproof.tasks import TASKS

SCHEMA = Schema("text-classification", "text+label", {}, ("a", "b"), None, ())


@pytest.fixture
def bert(tiny_bert: Path):
    return TASKS["text-classification"].answer.model(tiny_bert, SCHEMA, seed=0)


@pytest.fixture
def llama(tiny_llama: Path):
    return TASKS["instruction"].answer.model(tiny_llama, SCHEMA, seed=0)


def test_parts_of_an_encoder(bert) -> None:
    parts = Parts.of(bert)
    assert [name for name, _ in parts.layers] == [f"bert.encoder.layer.{n}" for n in range(3)]
    assert parts.head == {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert all(name.startswith("bert.embeddings.") for name in parts.embeddings) and len(parts.embeddings) == 5


def test_parts_of_a_decoder_with_tied_embeddings(llama) -> None:
    parts = Parts.of(llama)
    assert [name for name, _ in parts.layers] == ["model.layers.0", "model.layers.1"]
    assert parts.embeddings == {"model.embed_tokens.weight"}
    assert parts.head == {"model.norm.weight"}


def test_no_stack_of_layers_is_refused() -> None:
    from torch.nn import Linear

    with pytest.raises(ModelError, match="no stack"):
        Parts.of(Linear(2, 2))


def freeze(model, **options):
    METHODS["freeze"](build({"freeze": options})).apply(model)
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_range_of_layers(bert) -> None:
    trains = freeze(bert, layers="0:2")
    assert {name.split(".")[3] for name in trains if ".layer." in name} == {"0", "1"}


def test_no_layer_at_all_is_a_linear_probe(bert) -> None:
    assert freeze(bert, top_layers=0) == Parts.of(bert).head


def test_embeddings_train_when_told(bert) -> None:
    assert Parts.of(bert).embeddings <= freeze(bert, top_layers=3, embeddings=False)
    assert len([p for p in bert.parameters() if not p.requires_grad]) == 0


@pytest.mark.parametrize("layers", ["2", "2:", ":2", "2:2", "2:1", "0:4", "-1:2", "a:b", "0:1:2"])
def test_ranges_that_are_none(bert, layers: str) -> None:
    with pytest.raises(ConfigError, match="no range of the model's 3 layers") as error:
        freeze(bert, layers=layers)
    assert '"1:3"' in error.value.hint


def test_adapters_stand_on_every_linear_layer_of_the_stack(llama) -> None:
    adapted = METHODS["lora"](settings("instruction", "lora", {"model.name": "m"})).apply(llama)
    names = {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in adapted.named_parameters() if ".lora_A" in name}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_the_adapters_base_is_a_name_and_not_a_place(llama, tmp_path: Path) -> None:
    import json

    lora = METHODS["lora"](settings("instruction", "lora", {"model.name": "smollm2-135m-instruct"}))
    lora.save(lora.apply(llama), tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == "smollm2-135m-instruct"
    assert saved["lora_alpha"] == 2 * saved["r"]


def test_an_unknown_method_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match='"lorra"') as error:
        method("lorra")
    assert '"lora"' in error.value.hint
