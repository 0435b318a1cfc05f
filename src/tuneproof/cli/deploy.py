"""The commands of deploy: parse, call, print. No logic.

    tuneproof export runs/reviews-7f3a --to onnx
    tuneproof registry add runs/reviews-7f3a --name reviews

``add_commands`` puts them into the command line; heavy imports stand inside the commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

# Typer keeps a copy of click that it does not export: this is the error of a mistyped option.
UsageError: Any = typer.BadParameter.__mro__[1]


class Verdict(TyperCommand):
    """A command whose exit code is a verdict: 2 means "inconclusive", so a mistyped option ends with 64."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            error.exit_code = 64
            raise


Source = Annotated[str, typer.Argument(metavar="RUN|NAME@7", help="run directory, or a registered name")]
registry = typer.Typer(no_args_is_help=True, help="Registered models: versions, aliases, and every decision.")


def add_commands(app: typer.Typer) -> None:
    app.command()(export)
    app.command(cls=Verdict)(promote)
    app.command()(rollback)
    app.command()(serve)
    app.add_typer(registry, name="registry", rich_help_panel=None)


def export(
    source: Source,
    to: Annotated[str, typer.Option(help="merged, peft, onnx, gguf, ollama or vllm")],
    precision: Annotated[str | None, typer.Option(help="such as bf16, int8, f16, q8_0; the target's first")] = None,
    output: Annotated[Path | None, typer.Option(help="new folder for it")] = None,
) -> None:
    """Write a tuned model for another program; refused unless it answers as the model that was scored."""
    from tuneproof.deploy.registry import Version, found

    named = found(source)
    typer.echo("Loading PyTorch", err=True)
    from tuneproof.deploy.export import cards, default_place
    from tuneproof.deploy.export import export as write
    from tuneproof.device import machine, settle

    settle(machine().cores)
    run, name = (named.run, named.label) if isinstance(named, Version) else (named, named.id)
    folder = output or default_place(named.path, name, to, precision)
    done = write(run, name, to, folder, precision, lambda line: typer.echo(line, err=True))
    typer.echo(f"{cards.parity_sentence(cards.parity_as_json(done.parity))}\n{done.folder}")


def serve(
    names: Annotated[list[str], typer.Argument(metavar="NAME|RUN...", help="registered names, NAME@7, or runs")],
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port; 0 takes a free one")] = 8433,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="ask for no token; on loopback only")] = False,
    tls_cert: Annotated[Path | None, typer.Option(help="certificate, for an address that others reach")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="its key")] = None,
    behind_proxy: Annotated[bool, typer.Option("--behind-proxy", help="a proxy in front encrypts")] = False,
    host_name: Annotated[list[str] | None, typer.Option(help="one more host name to answer to")] = None,
    canary: Annotated[str | None, typer.Option(metavar="NAME@7=5%", help="version that answers a share")] = None,
    shadow: Annotated[str | None, typer.Option(metavar="NAME@7=20%", help="version that is asked a share too")] = None,
    log_requests: Annotated[str, typer.Option(help="off, sample:0.01 or full; personal data is replaced")] = "off",
    onnx: Annotated[bool, typer.Option("--onnx", help="onnxruntime computes the models that read")] = False,
) -> None:
    """Answer over HTTP: OpenAI's routes, /v1/classify and others, and a page to try the models by hand."""
    from tuneproof.deploy.registry import found
    from tuneproof.optional import need

    need("starlette", extra="serve")
    need("uvicorn", extra="serve")
    for name in names:
        found(name)
    typer.echo("Loading PyTorch", err=True)
    from tuneproof.deploy.server import Serving
    from tuneproof.deploy.server import serve as serve_all

    how = Serving(
        host=host,
        port=port,
        auth=not no_auth,
        certificate=tls_cert,
        key=tls_key,
        behind_proxy=behind_proxy,
        hosts=tuple(host_name or ()),
        log_requests=log_requests,
        canary=canary,
        shadow=shadow,
        onnx=onnx,
    )
    serve_all(names, how, typer.echo)


def promote(
    version: Annotated[str, typer.Argument(metavar="NAME@9", help="registered version")],
    against: Annotated[str, typer.Option(help="alias or version that it is to replace")] = "champion",
    policy: Annotated[Path | None, typer.Option(help="TOML file with what it has to show")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="weigh, and change nothing")] = False,
    labels: Annotated[Path | None, typer.Option(help="fresh rows, labelled where the two disagree")] = None,
    pool: Annotated[Path | None, typer.Option(help="rows without labels, from which a hold chooses")] = None,
    to_label: Annotated[Path | None, typer.Option(help="CSV for the rows that a hold wants labelled")] = None,
    canary: Annotated[
        str | None, typer.Option(metavar="1%,5%,25%,50%", help="become the champion by these shares of the requests")
    ] = None,
) -> None:
    """Weigh NAME@9 against the champion. Exit 0 promoted, 1 rejected, 2 held, 3 refused, 64 asked wrongly, 75 busy."""
    from tuneproof.deploy.gate import read_policy
    from tuneproof.deploy.registry.canaries import steps
    from tuneproof.errors import BusyError, CheckError, ConfigError, Error

    typer.echo("Loading PyTorch", err=True)
    from tuneproof import pipeline
    from tuneproof.terminal import Terminal

    try:
        if (pool is None) != (to_label is None):
            raise ConfigError("--pool and --to-label go together: the rows to choose from, and where to write them.")
        by_steps = () if canary is None else steps(canary)
        asked = pipeline.Weighing(against, read_policy(policy), dry_run, labels, pool, to_label, by_steps)
        found = pipeline.weigh(version, asked, view=Terminal())
    except Error as error:
        error.exit_code = error.exit_code if isinstance(error, CheckError | BusyError) else 64
        raise
    for line in pipeline.weighed_lines(found, asked):
        typer.echo(line)
    raise typer.Exit(("promoted", "rejected", "held").index(found.verdict))


def rollback(
    name: Annotated[str, typer.Argument(help="registered name")],
    to: Annotated[str | None, typer.Option(help="number of a version; the previous champion when not given")] = None,
) -> None:
    """Make the previous champion the champion again; a canary that is under way is ended instead."""
    from tuneproof.deploy.registry import Registry, canaries
    from tuneproof.deploy.registry.rollback import roll_back

    ended = canaries.end(name, Registry()) if to is None else None
    if ended is not None:
        typer.echo(f"The canary of {name}@{ended.version} has ended; {name}@{ended.champion} answers everybody.")
        return
    now, before = roll_back(name, to)
    typer.echo(f"{now.label} is the champion again, in place of {before.label}.")


@registry.command(name="add")
def add_version(
    run: Annotated[str, typer.Argument(help="finished run")],
    name: Annotated[str, typer.Option(help="name under which it is served, such as reviews")],
) -> None:
    """Register a finished run as the next version of NAME; its files are kept from now on."""
    typer.echo("Loading PyTorch", err=True)
    from tuneproof import pipeline
    from tuneproof.terminal import Terminal

    version = pipeline.add(run, name, view=Terminal())
    typer.echo(f"{version.label}\t{version.sha256}\nTo serve it: tuneproof promote {version.label}")


@registry.command(name="show")
def show_versions(name: Annotated[str | None, typer.Argument(help="one name; all when not given")] = None) -> None:
    """Versions with their scores, aliases, and the decisions, as a table."""
    from tuneproof.deploy.registry import Registry
    from tuneproof.deploy.registry.show import overview, table

    books = Registry()
    for line in overview(books) if name is None else table(books, name):
        typer.echo(line)


@registry.command()
def verify(name: Annotated[str | None, typer.Argument(help="one name; everything when not given")] = None) -> None:
    """Recompute every hash and the chain of decisions. Exit 0 when all holds, 3 when something was changed."""
    from tuneproof.deploy.registry import Registry

    books = Registry()
    faults = books.verify(name)
    for fault in faults:
        typer.echo(f"{fault}.", err=True)
    names = [name] if name else books.names()
    if faults:
        raise typer.Exit(3)
    typer.echo(f"{', '.join(names) or 'Nothing registered'}: every file, manifest and decision is as it was written.")
