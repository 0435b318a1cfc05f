"""Options are declared once; unknown names, values out of range and options without effect are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.config import Config, build, describe, load, names, parse_set
from tuneproof.errors import ConfigError


def test_every_option_has_a_help_text() -> None:
    assert len(names()) == len(set(names())) > 30
    for name in names():
        assert describe(name), name


def test_defaults_are_valid_and_nobody_asked_for_them() -> None:
    config = Config()
    assert config.asked == frozenset()
    assert dict(config.items()).keys() == set(names())


def test_file_then_command_line(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[train]\nlr = 1e-3\nepochs = 3\n[model]\nname = "x"\n')
    config = load(file, {"train.lr": "2e-4"})
    assert config.train.lr == 2e-4 and config.train.epochs == 3 and config.model.name == "x"
    assert config.asked == {"train.lr", "train.epochs", "model.name"}


@given(st.sampled_from(names()))
def test_a_name_with_a_letter_too_many_gets_the_right_one(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(None, {name + "x": "1"})
    assert f'"{name}x"' in error.value.message and f'Did you mean "{name}"?' in error.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.lr", "0"),
        ("train.lr", "nan"),
        ("train.epochs", "-1"),
        ("train.batch_size", "0"),
        ("train.batch_size", "1.5"),
        ("train.batch_size", ""),
        ("train.schedule", "cosin"),
        ("train.seed", "-1"),
        ("train.seed", str(2**31)),
        ("data.too_long", "truncate"),
        ("data.validation_share", "0.6"),
        ("model.max_length", "7"),
        ("model.precision", "fp16"),
        ("lora.rank", "0"),
        ("train.clip", "0"),
    ],
)
def test_values_out_of_range_are_refused_with_the_meaning(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(None, {name: value})
    assert error.value.message.startswith(f"Option {name}: ") and repr(value) in error.value.message
    assert describe(name) in error.value.hint


def test_values_may_contain_the_sign() -> None:
    assert parse_set(["data.salt=a=b", " train.lr = 1e-4 "]) == {"data.salt": "a=b", "train.lr": "1e-4"}
    for bad in ("train.lr", "", "="):
        with pytest.raises(ConfigError):
            load(None, parse_set([bad]))


def test_what_is_written_is_read_back() -> None:
    config = load(None, {"train.lr": "1e-4", "freeze.layers": "2:4"})
    assert build(config.model_dump(exclude_unset=True)) == config
    assert build(config.model_dump(exclude_none=True)).train == config.train


def test_replace_leaves_the_original() -> None:
    config = load(None, {"train.lr": "1e-4"})
    other = config.replace({"train.epochs": 2.0})
    assert config.train.epochs is None and other.train.epochs == 2.0 and other.train.lr == 1e-4
    assert other.asked == {"train.lr", "train.epochs"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nlr = 1e-4\nlr = 1e-3\n", ["run.toml", "TOML"]),
        ("lr = 1e-4\n", ["lr"]),
        ("[train]\nlrr = 1e-4\n", ["train.lrr", "train.lr"]),
        ("train = 3\n", ["train"]),
        ("[train]\nlr = [1]\n", ["train.lr"]),
    ],
)
def test_bad_files(tmp_path: Path, text: str, words: list[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(file)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"run\.toml"):
        load(tmp_path / "run.toml")
    with pytest.raises(ConfigError):
        load(tmp_path)
