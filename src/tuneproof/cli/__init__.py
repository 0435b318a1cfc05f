"""The command line: parse, call the pipeline, print. No logic.

    tuneproof tune reviews.csv

Heavy imports stand inside the commands, so that --help answers at once, and so does a file or a run that is not there.
``deploy`` has the commands of that stage.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tuneproof.cli.deploy import Verdict, add_commands
from tuneproof.errors import Error

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fine-tune a pretrained model on your file, with proof that it helped.",
    epilog="Exit codes: 0 done, 1 our fault or worse, 2 your input, 3 refused by a check, 130 stopped by Ctrl-C.",
)

Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="data file, several of one layout, or demo:reviews, demo:support")
]
RunPath = Annotated[str, typer.Argument(help="run directory, such as runs/reviews-7f3a")]
Runs = Annotated[Path, typer.Option(help="folder for run directories")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with options")]
Set = Annotated[list[str] | None, typer.Option("--set", help="any option, as NAME=VALUE; see: tuneproof options")]
TaskName = Annotated[str | None, typer.Option(help="task, when it should not be inferred")]
Text = Annotated[str | None, typer.Option(help="column with the text")]
Label = Annotated[str | None, typer.Option(help="column with the label")]
Group = Annotated[str | None, typer.Option(help="column whose rows stay on one side of the split")]
Test = Annotated[str | None, typer.Option(help="file with test rows of its own")]
ModelName = Annotated[str | None, typer.Option(help="pretrained model: catalogue name, hub id, folder, pypi:, .gguf")]
MethodName = Annotated[str | None, typer.Option(help="method of tuning; tuneproof methods lists them")]
Epochs = Annotated[str | None, typer.Option(help="passes over the training rows")]
Minutes = Annotated[str | None, typer.Option(help="budget for the whole run")]
TooLong = Annotated[str | None, typer.Option("--too-long", help="rows longer than the model: refuse, cut or drop")]
Redact = Annotated[bool, typer.Option("--redact", help="replace personal data and secrets by placeholders")]
Apply = Annotated[str | None, typer.Option("--apply", help="CSV from --review with your decisions in it")]
Seeds = Annotated[str | None, typer.Option(help="so many trainings that differ in the seed: how noisy is training?")]
Curve = Annotated[bool, typer.Option("--learning-curve", help="also on parts of the rows: would more data help?")]
Seed = Annotated[str | None, typer.Option(help="seed of everything random")]


def _config(file: Path | None, items: list[str] | None, **named: str | None) -> Any:
    from tuneproof.config import load, parse_set

    options = {name.replace("_", ".", 1): value for name, value in named.items() if value is not None}
    return load(file, {**options, **parse_set(items or [])})


@app.command()
def tune(
    files: Files,
    test: Test = None,
    model: ModelName = None,
    method: MethodName = None,
    task: TaskName = None,
    text: Text = None,
    label: Label = None,
    group: Group = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    too_long: TooLong = None,
    redact: Redact = False,
    apply: Apply = None,
    seed: Seed = None,
    seeds: Seeds = None,
    learning_curve: Curve = False,
    config: ConfigFile = None,
    set_: Set = None,
    runs: Runs = Path("runs"),
) -> None:
    """Tune a model on FILE: prepare, plan, train, evaluate, and one page at the end."""
    asked = _config(
        config,
        set_,
        data_test=test,
        model_name=model,
        method_name=method,
        data_task=task,
        data_text=text,
        data_label=label,
        data_group=group,
        train_epochs=epochs,
        train_minutes=minutes,
        data_too_long=too_long,
        check_personal_data="fix" if redact else None,
        check_apply=apply,
        train_seed=seed,
        train_seeds=seeds,
        evaluate_learning_curve="true" if learning_curve else None,
    )
    from tuneproof.sources import there
    from tuneproof.terminal import Terminal

    there([*files, asked.data.test])
    view = Terminal()
    view.say("Loading PyTorch")
    from tuneproof import pipeline

    command = shlex.join(["tuneproof", *sys.argv[1:]])
    _finish(lambda: pipeline.tune(files, asked, runs=runs, view=view, command=command), view)


@app.command()
def plan(
    files: Files,
    test: Test = None,
    model: ModelName = None,
    method: MethodName = None,
    task: TaskName = None,
    text: Text = None,
    label: Label = None,
    group: Group = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    too_long: TooLong = None,
    redact: Redact = False,
    apply: Apply = None,
    seed: Seed = None,
    config: ConfigFile = None,
    set_: Set = None,
) -> None:
    """Show what tune would do with FILE and why: rows, settings, memory, minutes. Trains nothing."""
    asked = _config(
        config,
        set_,
        data_test=test,
        model_name=model,
        method_name=method,
        data_task=task,
        data_text=text,
        data_label=label,
        data_group=group,
        train_epochs=epochs,
        train_minutes=minutes,
        data_too_long=too_long,
        check_personal_data="fix" if redact else None,
        check_apply=apply,
        train_seed=seed,
    )
    from tuneproof.sources import there
    from tuneproof.terminal import Terminal

    there([*files, asked.data.test])
    view = Terminal()
    view.say("Loading PyTorch")
    from tuneproof import pipeline

    pipeline.plan(files, asked, view=view)


@app.command(name="check")
def check_data(
    files: Files,
    test: Test = None,
    task: TaskName = None,
    text: Text = None,
    label: Label = None,
    group: Group = None,
    model: ModelName = None,
    review: Annotated[Path | None, typer.Option(help="write the suspicious rows to this CSV, to be edited")] = None,
    apply: Apply = None,
    redact: Redact = False,
    fix: Annotated[Path | None, typer.Option(help="write the rows as they are left to this JSONL file")] = None,
    seed: Seed = None,
    config: ConfigFile = None,
    set_: Set = None,
    runs: Runs = Path("runs"),
) -> None:
    """Examine FILE as tune would: what is wrong with it, and what would be done. Exit 0 clean, 1 warnings, 2 errors."""
    asked = _config(
        config,
        set_,
        data_test=test,
        model_name=model,
        data_task=task,
        data_text=text,
        data_label=label,
        data_group=group,
        check_personal_data="fix" if redact else None,
        check_apply=apply,
        train_seed=seed,
    )
    from tuneproof.sources import there
    from tuneproof.terminal import Terminal

    there([*files, asked.data.test])
    view = Terminal()
    view.say("Loading PyTorch")
    from tuneproof import pipeline

    command = shlex.join(["tuneproof", *sys.argv[1:]])
    found = pipeline.check(files, asked, runs=runs, view=view, command=command, review=review, fixed=fix)
    for title, path in (("To review", review), ("The rows", fix), ("The page", found.page)):
        if path is not None:
            typer.echo(f"{title}: {path}")
    raise typer.Exit(("clean", "warnings", "errors").index(found.verdict))


@app.command()
def resume(run: RunPath) -> None:
    """Continue a run where it stopped, bit for bit."""
    from tuneproof.run import Run
    from tuneproof.terminal import Terminal

    Run.open(run)
    view = Terminal()
    view.say("Loading PyTorch")
    from tuneproof import pipeline

    _finish(lambda: pipeline.resume(run, view=view), view)


@app.command(name="eval")
def score_again(
    run: RunPath,
    data: Annotated[Path | None, typer.Option(help="file with labelled rows; its own test rows when not given")] = None,
    slice_: Annotated[list[str] | None, typer.Option("--slice", help="column by whose values to score as well")] = None,
    protected: Annotated[str | None, typer.Option(help="column with groups that should be treated alike")] = None,
    favourable: Annotated[str | None, typer.Option(help="label that is good to get, with --protected")] = None,
    allow_leak: Annotated[bool, typer.Option("--allow-leak", help="score rows that were trained on, stamped")] = False,
) -> None:
    """Score a finished run again: on the rows of another file, or by the values of a column."""
    from tuneproof.run import Run
    from tuneproof.sources import there
    from tuneproof.terminal import Terminal

    Run.open(run)
    there([None if data is None else str(data)])
    view = Terminal()
    view.say("Loading PyTorch")
    from tuneproof import pipeline

    asked = pipeline.Again(data, tuple(slice_ or ()), protected, favourable, allow_leak)
    report = pipeline.score_again(run, asked, view=view)
    typer.echo(f"\nThe page:  {Path(run) / 'eval' / report['evaluation']['id'] / 'report.html'}")


@app.command(cls=Verdict)
def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="A B...", help="run directories; one may be a baseline's name, or base"),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="metric to compare by; the task's own when not given")] = None,
    margin: Annotated[float | None, typer.Option(help="ask for not worse by this much: .01 is one point")] = None,
    intersect: Annotated[bool, typer.Option("--intersect", help="compare the rows that both were scored on")] = False,
    evaluation: Annotated[str, typer.Option("--eval", help="evaluation, as a folder under eval/")] = "test",
    allow_leak: Annotated[bool, typer.Option("--allow-leak", help="compare rows that one was trained on")] = False,
    json_: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
) -> None:
    """Is B better than A? Exit 0 better, 1 worse, 2 inconclusive, 64 asked wrongly, 65 cannot be compared."""
    import json

    from tuneproof.errors import ConfigError
    from tuneproof.evaluate import EXIT_CODES, table
    from tuneproof.evaluate import compare as judge

    options = {"metric": metric, "margin": margin, "intersect": intersect, "allow_leak": allow_leak}
    try:
        found = judge(runs or [], evaluation=evaluation, **options)  # type: ignore[arg-type]
    except Error as error:
        error.exit_code = 64 if isinstance(error, ConfigError) else 65
        raise
    typer.echo(json.dumps(found, ensure_ascii=False, indent=1) if json_ else "\n".join(table(found)))
    raise typer.Exit(EXIT_CODES[found["verdict"]])


@app.command()
def baseline(
    run: RunPath,
    to: Annotated[Path, typer.Option(help="new folder")],
) -> None:
    """Keep the TF-IDF baseline of a run, for when tuning did not beat it."""
    from tuneproof import pipeline

    folder = pipeline.keep_baseline(run, to)
    typer.echo(f'{folder}\nUse it: python {folder}/predict.py "a text"')


@app.command()
def predict(
    run: RunPath,
    input: Annotated[Path, typer.Option("--input", help="CSV or JSONL file with rows to predict")],
    output: Annotated[Path | None, typer.Option("--output", help="JSONL file; standard output when not given")] = None,
) -> None:
    """Predict the rows of a file with a tuned model, one JSON line each."""
    from tuneproof.run import Run
    from tuneproof.sources import there

    Run.open(run)
    there([str(input)])
    from tuneproof.tuned import predict_file

    for line in predict_file(run, input, output):
        typer.echo(line)


@app.command()
def chat(run: RunPath) -> None:
    """Talk to a tuned chat model; an empty line ends it."""
    from tuneproof.run import Run

    Run.open(run)
    from tuneproof.tuned import Conversation

    conversation = Conversation(run)
    while True:
        try:
            said = typer.prompt("you", default="", show_default=False)
        except (typer.Abort, EOFError):
            break
        if not said.strip():
            break
        typer.echo(f"model: {conversation.reply(said)}")


@app.command(name="runs")
def list_runs(runs: Runs = Path("runs")) -> None:
    """List run directories, newest first."""
    from tuneproof.run import Run

    found = False
    for run in Run.all(runs):
        found = True
        asked = run.asked
        typer.echo(f"{run.path}\t{asked['state']}\t{asked['created'][:16]}\t{asked['file']}")
    if not found:
        typer.echo(f"No runs under {runs}.")


models = typer.Typer(no_args_is_help=True, help="Models: the catalogue, fetching, and the admission check.")
app.add_typer(models, name="models", rich_help_panel=None)


@models.command(name="list")
def list_models() -> None:
    """The catalogue: name, size, licence, what it is good for."""
    from tuneproof.sources import CATALOG

    for entry in sorted(CATALOG.values(), key=lambda entry: (entry.kind, entry.parameters)):
        size = f"{entry.parameters / 1e6:,.0f}M"
        typer.echo(f"{entry.name:28} {entry.kind:8} {size:>7}  {entry.licence:14} {', '.join(entry.good_for)}")


@models.command()
def pull(name: Annotated[str, typer.Argument(help="any model name")]) -> None:
    """Fetch a model into the cache and print where it lies."""
    from tuneproof import sources

    typer.echo(sources.model(name, say=lambda line: typer.echo(line, err=True)).path)


@models.command()
def check(folder: Annotated[Path, typer.Argument(help="folder with a model")]) -> None:
    """The admission check alone: may this folder be loaded safely?"""
    from tuneproof.sources import admit

    for name, digest in admit(folder).items():
        typer.echo(f"{digest}  {name}")


@app.command(name="methods")
def list_methods() -> None:
    """Every method of tuning: weights that train, memory and seconds of a step as measured, what it is good for."""
    from tuneproof.methods.told import told

    for line in told():
        typer.echo(line)


@app.command()
def options() -> None:
    """Every option that --set and --config know, with its default."""
    from tuneproof.config import Config, describe

    for name, value in Config().items():
        shown = "decided" if value is None else value
        typer.echo(f"{name:26} {shown!s:10} {describe(name)}")


add_commands(app)


def _finish(work: Callable[[], Any], view: Any) -> None:
    """Runs to the end and says where the page lies, or how to continue."""
    from tuneproof.train.fit import Paused

    try:
        run = work()
    except Paused as paused:
        view.say(f"Stopped and saved. Continue with: tuneproof resume {paused}")
        raise typer.Exit(paused.exit_code) from None
    except KeyboardInterrupt:
        view.say("Stopped. What was done so far is kept: tuneproof runs lists it, tuneproof resume RUN continues it.")
        raise typer.Exit(130) from None
    typer.echo(f"\nThe model: {run.model}\nThe page:  {run.report}")


def main() -> None:
    """Entry point: errors of ours become one sentence and an exit code."""
    try:
        app()
    except Error as error:
        message = f"{error.message}\n  {error.hint}" if error.hint else error.message
        typer.echo(f"tuneproof: {message}", err=True)
        sys.exit(error.exit_code)
