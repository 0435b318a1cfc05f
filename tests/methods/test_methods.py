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


def test_weights_by_name(bert) -> None:
    trains = freeze(bert, names="*.attention.self.*, *.LayerNorm.weight")
    assert trains > Parts.of(bert).head
    rest = trains - Parts.of(bert).head
    assert rest and all(".attention.self." in name or name.endswith(".LayerNorm.weight") for name in rest)


def test_a_name_that_fits_nothing_is_refused(bert) -> None:
    with pytest.raises(ConfigError, match="fits no weight"):
        freeze(bert, names="*.attention.*,*.atention.self.query.weight")


def test_two_ways_to_say_what_trains_are_refused() -> None:
    for options in ({"layers": "0:1", "top_layers": 1}, {"names": "*.x", "layers": "0:1"}):
        with pytest.raises(ConfigError, match="the same thing twice"):
            METHODS["freeze"].settings(build({"freeze": options}), 3)


def test_unfreezing_one_layer_gradually_is_refused(bert) -> None:
    one = METHODS["freeze"](build({"freeze": {"top_layers": 1, "gradual": 0.5}}))
    with pytest.raises(ConfigError, match="no effect"):
        one.pace(one.apply(bert))


VARIANTS = [{}, {"lora.rslora": True}, {"lora.dora": True}, {"lora.init": "pissa"}]
VARIANTS += [{"lora.init": "pissa", "lora.rslora": True}, {"lora.init": "pissa", "lora.dora": True}]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_lora_starts_as_the_base_and_opens_over_it(tiny_llama: Path, tmp_path: Path, options) -> None:
    """Also PiSSA, which changes the base while it trains: what is saved is the difference."""
    import torch

    def opened(folder: Path = tiny_llama):
        return TASKS["instruction"].answer.model(folder, SCHEMA, seed=0)

    ids = torch.arange(5, 45).reshape(2, 20)
    base = opened().eval()
    lora = METHODS["lora"](settings("instruction", "lora", {"model.name": "m", **options}))
    torch.manual_seed(0)
    model = lora.apply(opened()).eval()
    with torch.no_grad():
        before = base(input_ids=ids).logits
        assert (model(input_ids=ids).logits - before).abs().max() < 2e-4
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape))
        trained = model(input_ids=ids).logits
        assert (trained - before).abs().max() > 0.1
        lora.save(model, tmp_path)
        again = lora.load(opened, tiny_llama, tmp_path).eval()
        assert (again(input_ids=ids).logits - trained).abs().max() < 2e-4


def test_an_unknown_method_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match='"lorra"') as error:
        method("lorra")
    assert '"lora"' in error.value.hint


# -- peft's own options


def adapted(bert, method: str, options: str):
    return METHODS[method](settings("text-classification", method, {"model.name": "m", "peft.options": options})).apply(
        bert
    )


def test_pefts_options_reach_peft(bert) -> None:
    model = adapted(bert, "vera", "r = 4, d_initial = 0.25")
    assert (model.peft_config["default"].r, model.peft_config["default"].d_initial) == (4, 0.25)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("vera", "d_inital = 0.2", 'Did you mean "d_initial"?'),
        ("ia3", "r = 8", "It knows"),
        ("vera", 'target_modules = ["query"]', "is decided by tuneproof"),
        ("vera", "r=", "cannot be read"),
        ("vera", "bias = none", "cannot be read"),
        ("vera", 'r = "eight"', "peft refuses"),
        ("boft", "boft_block_size = 7", "peft refuses"),
        ("hra", "r = 0", "peft refuses"),
    ],
)
def test_options_that_peft_does_not_know_are_refused(bert, method: str, options: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        adapted(bert, method, options)
    assert said in str(error.value)


def test_sizes_follow_from_the_models_widths(bert) -> None:
    """Widths 32 and 64: 32 is the largest power of two that divides both."""
    assert adapted(bert, "c3a", "").peft_config["default"].block_size == 32


def test_a_prompt_needs_room_before_the_rows(bert) -> None:
    with pytest.raises(ConfigError, match="20 tokens before rows of up to 64 are more than the 64") as error:
        adapted(bert, "prompt", "")
    assert "model.max_length=44" in error.value.hint


def test_biases_alone_where_there_are_none(llama) -> None:
    with pytest.raises(ConfigError, match="no biases"):
        METHODS["bitfit"](settings("instruction", "bitfit", {})).apply(llama)


def test_biases_alone(bert) -> None:
    METHODS["bitfit"](settings("text-classification", "bitfit", {})).apply(bert)
    trains = {name for name, p in bert.named_parameters() if p.requires_grad}
    assert trains > Parts.of(bert).head and all(name.endswith(".bias") for name in trains - Parts.of(bert).head)
