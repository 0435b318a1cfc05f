"""What a person sees on the terminal while a run works: a line of progress there, plain lines when piped.

    view = Terminal()
    tune("reviews.csv", config, runs=runs, view=view)

It draws what it is handed and computes nothing but time left.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table as Grid

from tuneproof.records import Ledger, Progress, Schema

LOOK_SECONDS = 2.0  # between two lines about one check
PLAIN_SECONDS = 10.0  # between two plain lines of progress
ADVANCED = ("train.clip", "train.log_every", "train.save_seconds", "train.threads", "data.salt", "train.warmup")


class Terminal:
    """One console; ``live`` is a bar on a terminal, lines elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _console()
        self._bar: Bar | None = None
        self._job: TaskID | None = None
        self._told = 0.0
        self._looked = ""
        self._first: tuple[float, int] | None = None

    def say(self, line: str) -> None:
        self._close()
        self.console.print(f"[dim]·[/dim] {escape(line)}")

    def prepared(self, schema: Schema, ledger: Ledger, tokens: Mapping[str, Any]) -> None:
        self.console.print(f"\n[bold]What is in the file[/bold]  {schema.task}")
        for reason in schema.reasons:
            self.console.print(f"  {escape(reason)}")
        used = ", ".join(f"{n:,} {name}" for name, n in ledger.used.items())
        copies = sum(ledger.repeated.values())
        repeated = f" + {copies:,} repeated" if copies else ""
        self.console.print(f"  {sum(ledger.rows_in.values()):,} rows in{repeated} = {used}", end="")
        dropped = [f"{drop.rows:,} {drop.reason}" for drop in ledger.dropped]
        self.console.print(f" + dropped: {escape(', '.join(dropped))}" if dropped else ", none dropped")
        for note in ledger.notes:
            self.console.print(f"  [yellow]{escape(note)}[/yellow]")
        if not tokens:
            self.console.print()
            return
        train = tokens["splits"]["train"]
        cut = f"; {train['rows_cut']:,} rows cut by {train['tokens_cut']:,} tokens" if train["rows_cut"] else ""
        self.console.print(
            f"  tokens per row: {train['tokens']['mean']:g} on average, {train['tokens']['max']:,} at most; "
            f"{train['loss']['mean']:g} of them carry loss{cut}\n"
            if train["loss"]["total"] != train["rows"]
            else f"  tokens per row: {train['tokens']['mean']:g} on average, {train['tokens']['max']:,} at most{cut}\n"
        )

    def looking(self, what: str, done: int, total: int) -> None:
        """A check at work: a line when it begins, and how far it is every few seconds."""
        now = time.monotonic()
        if done == 0 and what != self._looked:
            self._looked, self._told = what, now
            if self.console.is_terminal:
                self.console.print(f"[dim]  {escape(what)}[/dim]")
        elif now - self._told >= (LOOK_SECONDS if self.console.is_terminal else PLAIN_SECONDS) and total:
            self._told = now
            self.console.print(f"[dim]  {escape(what)}: {done:,} of {total:,}[/dim]")

    def checked(self, report: Mapping[str, Any]) -> None:
        """One line per check that found something, the rest in one."""
        self._close()
        self.console.print("[bold]What the doctor found[/bold]")
        for one in report["checks"]:
            if one["found"]:
                colour = {"error": "red", "warn": "yellow"}.get(one["severity"], "default")
                done = f"{one['changed']:,} {one['action']}" if one["changed"] else one["action"]
                self.console.print(
                    f"  [{colour}]{one['found']:,}[/{colour}] of {one['looked_at']:,}  {escape(one['title'])} ({done})"
                )
                if one["effect"]:
                    self.console.print(f"      {escape(one['effect'])}")
        clean = [one["title"] for one in report["checks"] if one["looked_at"] and not one["found"]]
        if clean:
            self.console.print(f"  nothing: {escape('; '.join(clean))}")
        for one in report["checks"]:
            if not one["looked_at"] and one["note"]:
                self.console.print(f"  [dim]not looked at: {escape(one['title'])}: {escape(one['note'])}[/dim]")
        self.console.print()

    def planned(self, plan: Mapping[str, Any]) -> None:
        self._close()
        self.console.print("[bold]The plan[/bold]")
        grid = Grid.grid(padding=(0, 2))
        for name, setting in plan["settings"].items():
            if name not in ADVANCED and setting["by"] != "default":
                grid.add_row(f"  {name}", f"[bold]{escape(_short(setting['value']))}[/bold]", escape(setting["reason"]))
        self.console.print(grid)
        cost = plan["cost"]
        share = cost["trained_parameters"] / cost["all_parameters"]
        self.console.print(
            f"\n  {cost['steps']:,} steps, about {_minutes(cost['train_minutes'])} to train and "
            f"{_minutes(cost['evaluate_minutes'])} to score, {cost['memory_gib']:.1f} GiB of memory (measured); "
            f"{cost['trained_parameters'] / 1e6:.1f}M weights train ({share:.1%})"
        )
        if cost.get("spared_tokens", 0) >= 0.01:
            self.console.print(
                "  Rows of a batch lie side by side, and what all begin with is computed once: "
                f"{cost['spared_tokens']:.0%} fewer tokens"
            )
        if plan["power"]:
            self.console.print(f"  {plan['power']}")
        self.console.print()

    def progress(self, progress: Progress) -> None:
        if self._first is None:
            self._first = (time.monotonic(), progress.step)
        if self.console.is_terminal:
            self._draw(progress)
        elif progress.validation is not None or time.monotonic() - self._told >= PLAIN_SECONDS:
            self._told = time.monotonic()
            self.console.print(f"{progress.stage} {progress.step}/{progress.steps}  {self._figures(progress)}")

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = Bar(
                TextColumn("[bold]{task.fields[stage]}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
                TextColumn("{task.fields[figures]}"),
                console=self.console,
            )
            self._bar.start()
            self._job = self._bar.add_task("", total=progress.steps, stage=progress.stage, figures="")
        assert self._job is not None
        if progress.validation is not None:
            found = progress.validation
            self._bar.console.print(
                f"  step {progress.step:,}, epoch {progress.epoch:.2f}: "
                f"{found.primary} {found.main:.4f} on {found.n:,} validation rows"
            )
        self._bar.update(self._job, completed=progress.step, figures=self._figures(progress))
        if progress.step >= progress.steps or progress.paused:
            self._close()

    def _figures(self, progress: Progress) -> str:
        parts = [f"loss {progress.loss:.4f}"] if progress.loss is not None else []
        if progress.validation is not None and progress.validation.main is not None and not self.console.is_terminal:
            parts.append(f"validation {progress.validation.primary} {progress.validation.main:.4f}")
        if progress.seconds > 0:
            parts.append(f"{progress.rows / max(progress.seconds, 1e-9):,.0f} rows/s" if self._whole(progress) else "")
        left = self._left(progress)
        return "  ".join(part for part in [*parts, left] if part)

    def _whole(self, progress: Progress) -> bool:
        """Whether ``rows`` and ``seconds`` are of the same stretch: they are not in a resumed run."""
        return self._first is not None and self._first[1] <= progress.steps // 10

    def _left(self, progress: Progress) -> str:
        assert self._first is not None
        began, step = self._first
        if progress.step == step:
            return ""
        seconds = (time.monotonic() - began) / (progress.step - step) * (progress.steps - progress.step)
        return f"{_minutes(seconds / 60)} left"

    def scored(self, report: Mapping[str, Any]) -> None:
        self._close()
        scores = report["scores"]
        grid = Grid(title=f"Scores on {scores['n']:,} test rows", title_justify="left", title_style="bold")
        grid.add_column("")
        for name in scores["systems"][0]["values"]:
            grid.add_column(name, justify="right")
        grid.add_column(f"95% interval of {scores['primary']}", justify="right")
        for system in scores["systems"]:
            values = ["-" if value is None else f"{value:.4f}" for value in system["values"].values()]
            low, high = system["interval"]
            grid.add_row(system["name"], *values, "-" if low is None else f"{low:.4f} to {high:.4f}")
        self.console.print(grid)
        colour = {"better": "green", "worse": "red", "inconclusive": "yellow"}[report["verdict"]]
        self.console.print(f"\n[bold {colour}]{escape(report['headline'])}[/bold {colour}]")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._first = None  # another training may follow


def _console() -> Console:
    """As wide as the terminal; 160 columns when piped, so that lines are not broken for a window nobody has."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, round(60 * minutes))} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
