"""The documents say what is so: commands run, options exist, sentences for bad input are the ones that come.

python tests/test_docs.py        # writes the tables of docs/configuration.md anew
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import typer.main
from commands import Command

import tuneproof
from tuneproof.config import Config, describe, load, names

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
STAGES = ("choose", "prepare", "decide", "train", "evaluate", "deploy", "monitor")
PAGES = sorted([README, ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*/tune.toml"))
CONFIGURATION = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- options: begin -->\n", "<!-- options: end -->\n"


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.DOTALL | re.MULTILINE)


# -- the table of options


def tables() -> str:
    """The options of ``config.py`` as Markdown, a heading per section."""
    lines: list[str] = []
    for section, holder in Config.model_fields.items():
        assert isinstance(holder.annotation, type)
        lines += [f"## {section}", "", holder.annotation.__doc__ or "", "", "| option | default | range | meaning |"]
        lines.append("|---|---|---|---|")
        for name, field in holder.annotation.model_fields.items():
            value = "decided" if field.default is None else f"`{json.dumps(field.default)}`"
            lines.append(f"| `{section}.{name}` | {value} | {limits(field)} | {field.description} |")
        lines.append("")
    return "\n".join(lines)


def limits(field: Any) -> str:
    """What the option accepts: the choices of a Literal, or its bounds."""
    if choices := [choice for choice in get_args(field.annotation) if isinstance(choice, str)]:
        return ", ".join(f"`{choice}`" for choice in choices)
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [
        f"{sign} {getattr(m, name):,}" for m in field.metadata for name, sign in signs.items() if hasattr(m, name)
    ]
    return ", ".join(bounds)


def with_tables(page: str) -> str:
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}{tables()}{END}{rest.split(END)[1]}"


def test_the_table_of_options_is_that_of_the_code() -> None:
    assert text(CONFIGURATION) == with_tables(text(CONFIGURATION)), "run: python tests/test_docs.py"


def test_every_option_stands_on_the_page_of_a_stage() -> None:
    """By its name, or by its flag."""
    told = "".join(text(ROOT / "docs" / f"{stage}.md") for stage in STAGES)
    flags = {name: "--" + name.split(".")[1].replace("_", "-") for name in names() if name.startswith("data.")}
    assert [name for name in names() if f"`{name}" not in told and flags.get(name, "\0") not in told] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_named_exists(page: Path) -> None:
    sections = "|".join(Config.model_fields)
    shown = re.sub(r"`[^`]*\.(py|json|jsonl|md|safetensors|html|csv|toml)[^`]*`", "", text(page))
    prose = re.sub(r"```python.*?```|\]\([^)]*\)", "", shown, flags=re.DOTALL)  # nor where a link goes
    named = re.findall(rf"(?<![\w./])(?:{sections})\.[a-z_]+\b(?![(./])", prose)
    assert set(named) - set(names()) <= {"train.lrr", "train.loop", "config.data"}  # a mistake that is shown; modules


# -- commands


def commands() -> dict[str, set[str]]:
    """Every command of the program, "models pull" among them, with its options."""
    from tuneproof.cli import app

    found: dict[str, set[str]] = {}

    def walk(command: Any, path: str) -> None:
        found[path] = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for name, below in getattr(command, "commands", {}).items():
            walk(below, f"{path} {name}".strip())

    walk(typer.main.get_command(app), "")
    return found


def shown_commands() -> Iterator[tuple[str, str]]:
    """(page, command line) of every ``tuneproof`` and ``make`` line in a block or in backticks."""
    for page in [*PAGES, *EXAMPLES]:
        lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
        lines += re.findall(r"`((?:tuneproof|make) [^`\n]+)`", text(page))
        lines += re.findall(r"^# +(tuneproof .*)$", text(page), re.MULTILINE)
        for line in lines:
            if line.startswith(("tuneproof ", "make ")):
                yield page.name, line


@pytest.mark.parametrize(("page", "line"), sorted(set(shown_commands())))
def test_every_command_shown_exists(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    known = commands()
    nested = " ".join(words[1:3])
    command = nested if nested in known else words[1]
    if command.startswith("--"):
        command = ""
    assert command in known
    assert {word for word in words if word.startswith("--")} <= known[command]


def test_make_lists_its_commands() -> None:
    ran = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True)
    listed = {line.split()[1] for line in ran.stdout.splitlines()}
    assert {"help", "demo", "demo-support", "test", "check", "proof", "bench", "clean"} <= listed


def test_continuous_integration_runs_what_a_person_runs() -> None:
    script = [line for line in text(ROOT / ".ci" / "run").splitlines() if not line.startswith("#")]
    assert script == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make check test"]


# -- the commands of the README and the examples, on tiny models


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, reviews: Path) -> Path:
    """A folder to stand in: a tiny BERT, the same with a pickle in it, and a file of 80 reviews."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(tiny_bert, folder / "tiny")
    shutil.copytree(tiny_bert, folder / "pickled")
    (folder / "pickled" / "weights.bin").write_bytes(b"\x80\x04K\x01.")
    (folder / "examples").mkdir()
    shutil.copy(reviews, folder / "reviews.csv")
    return folder


def tuneproof_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tuneproof")), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_help_runs(tmp_path: Path) -> None:
    ran = tuneproof_in(tmp_path, "--help")
    assert ran.returncode == 0
    assert all(f"  {name}" in ran.stdout for name in ("tune", "plan", "resume", "predict", "chat"))


def test_plan_runs_and_keeps_nothing(home: Path) -> None:
    before = sorted(home.iterdir())
    ran = tuneproof_in(home, "plan", "reviews.csv", "--model", "./tiny")
    assert ran.returncode == 0, ran.stderr
    assert "80 rows in" in ran.stdout and "The plan" in ran.stdout and "(measured)" in ran.stdout
    assert sorted(home.iterdir()) == before


def test_the_python_of_the_readme_names_what_exists() -> None:
    from tuneproof.tuned import Tuned

    code = "\n".join(blocks(README, "python"))
    assert len([line for line in code.splitlines() if line]) == 4
    assert "import tuneproof as tp" in code
    assert set(re.findall(r"\btp\.(\w+)", code)) <= set(tuneproof.__all__)
    assert all(hasattr(Tuned, name) for name in re.findall(r"\brun\.(\w+)", code))


def test_the_python_of_the_readme_runs(home: Path, tmp_path: Path) -> None:
    """As it stands there, but for the model's name, which a test cannot fetch."""
    shutil.copy(home / "reviews.csv", tmp_path)
    model = f"train_epochs=2, model_name={str(home / 'tiny')!r}"
    code = "\n".join(blocks(README, "python")).replace("train_epochs=2", model)
    program = f"{code}\nprint(run.report.is_file(), run.model.is_dir(), sorted(run.scores))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("True True ["), ran.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.parent.name)
def test_every_example_is_small_and_its_configuration_is_read(example: Path) -> None:
    config = load(example)
    assert config.asked
    (data,) = [file for file in example.parent.iterdir() if file.suffix in (".csv", ".jsonl")]
    assert data.stat().st_size < 4096
    assert f"tuneproof tune examples/{example.parent.name}/{data.name} --config" in text(example)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.parent.name)
def test_every_example_runs(
    example: Path, tmp_path: Path, tiny_bert: Path, tiny_llama: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands there, but for the model and its length, as tiny models read almost letter by letter."""
    shown = re.search(r"^# +tuneproof (tune examples/.*)$", text(example), re.MULTILINE)
    assert shown
    monkeypatch.chdir(ROOT)
    model = tiny_bert if 'name = "minilm-l6"' in text(example) else tiny_llama
    length = 64 if model is tiny_bert else 256
    more = ["--model", str(model), "--set", f"model.max_length={length}", "--epochs", "1", "--runs", str(tmp_path)]
    ran = command(*shlex.split(shown[1]), *more)
    assert ran.code == 0, ran.err
    page = re.search(r"The page:  (\S+)", ran.out)
    assert page and (ROOT / page[1]).is_file()


# -- sentences

TUNE = ("plan", "reviews.csv", "--model", "./tiny")
SENTENCES = [
    ("choose", ("plan", "reviews.csv", "--model", "minilm-l7")),
    ("choose", ("plan", "reviews.csv", "--model", "./nowhere")),
    ("choose", ("plan", "reviews.csv", "--model", "./pickled")),
    ("choose", (*TUNE, "--set", "model.max_length=9999")),
    ("decide", (*TUNE, "--set", "train.lrr=1")),
    ("decide", (*TUNE, "--set", "train.lr=-1")),
    ("decide", (*TUNE, "--set", "train.lr")),
    ("decide", (*TUNE, "--method", "lorra")),
    ("decide", (*TUNE, "--method", "freeze", "--set", "lora.rank=8")),
    ("decide", (*TUNE, "--config", "nowhere.toml")),
    ("train", ("resume", "nowhere")),
    ("train", ("resume", "examples")),
    ("train", (*TUNE, "--method", "freeze", "--set", "freeze.top_layers=9")),
    ("train", (*TUNE, "--method", "freeze", "--set", "freeze.layers=1:9")),
    ("train", (*TUNE, "--method", "vera", "--set", "peft.options=d_inital=0.2")),
    ("train", (*TUNE, "--method", "prompt", "--set", "model.max_length=64")),
    ("train", (*TUNE, "--method", "adalora")),
    ("evaluate", ("predict", "nowhere", "--input", "a.csv")),
]


@pytest.mark.parametrize(
    ("stage", "arguments"), SENTENCES, ids=lambda value: value if isinstance(value, str) else value[-1]
)
def test_the_sentence_for_bad_input_is_the_one_that_comes(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    arguments: tuple[str, ...],
) -> None:
    from tuneproof.cli import main

    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "argv", ["tuneproof", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.removeprefix("tuneproof: ").split())
    page = text(ROOT / "docs" / f"{stage}.md")
    assert f"`{said}`" in page
    shown = " ".join(arguments[arguments.index("./tiny") + 1 :] if "./tiny" in arguments else arguments)
    assert shown.removeprefix("plan reviews.csv ") in page


# -- the pages themselves


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text(page))
    assert [t for t in targets if not t.startswith("https://") and not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_place_of_one_machine_is_named(page: Path) -> None:
    assert re.findall(r"(?<![\w.~])/(?:home|root|tmp|work|Users|opt|mnt)/\S*", text(page)) == []


def test_every_stage_has_its_page_and_stands_on_the_map() -> None:
    page = text(ROOT / "docs" / "architecture.md")
    assert all((ROOT / "docs" / f"{stage}.md").is_file() and f"({stage}.md)" in page for stage in STAGES)


def test_the_map_draws_the_contracts() -> None:
    import tomllib

    project = tomllib.loads(text(ROOT / "pyproject.toml"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    drawn = re.findall(r"^\d+ +([\w |]+?)(?:   +.*)?$", text(ROOT / "docs" / "architecture.md"), re.MULTILINE)
    waiting = [re.sub(r" \| \(\w+\)", "", layer) for layer in layers]
    assert drawn == waiting[::-1]


def test_numbers_of_the_tables_are_those_of_the_code() -> None:
    from tuneproof.tasks import TASKS

    page = text(ROOT / "docs" / "choose.md")
    assert all(f"{task.answer.length_limit:,} " in page for task in TASKS.values())
    assert all(describe(name) for name in names())


if __name__ == "__main__":
    CONFIGURATION.write_text(with_tables(text(CONFIGURATION)), encoding="utf-8")
