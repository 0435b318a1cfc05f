"""The figures of docs/speed.md, from what the other scripts left in ``benchmarks/results``.

    python benchmarks/speed/page.py

Writes what stands between the two marks of the page and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import subjects

PAGE = subjects.ROOT / "docs" / "speed.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
Results = dict[str, Any]


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    found = {
        name: json.loads(file.read_text()) for name in SECTIONS if (file := subjects.RESULTS / f"{name}.json").is_file()
    }
    parts = [targets(found), *(SECTIONS[name](results) for name, results in found.items())]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(parts) + END + rest.split(END)[1], encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def where(here: Results) -> str:
    """Which machine, which code, and what it could do at that moment."""
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    return (
        f"Commit {here['commit']}, {here['date']}, {here['machine']}, {here['processor']}, threads: {here['threads']}; "
        f"{versions}. Matrix products ran at {here['gflops']['bfloat16']:.0f} GFLOP/s in bf16 and "
        f"{here['gflops']['float32']:.0f} in fp32, copies at {here['copied_gb_per_second']:.0f} GB/s.\n"
    )


def targets(found: Results) -> str:
    """What was aimed at, and how far it is; lines whose script has not run are left out."""
    rows: list[tuple[str, str, str]] = []

    def line(what: str, aimed: str, value: float, holds: bool) -> None:
        rows.append((what, aimed, f"{value:.2f}, {'holds' if holds else 'does not hold'}"))

    for key, aims in (("lora", (10, 8)), ("encoder", (6, None))):
        if key in found.get("peers", {}):
            sides = dict(found["peers"][key]["sides"])
            ours = sides.pop("tuneproof")
            first, rates = next(iter(sides.values())), [one["rows_per_second"] for one in sides.values()]
            times = ours["rows_per_second"] / first["rows_per_second"]
            line(f"{key}: times the peer's defaults", f">= {aims[0]}", times, times >= aims[0])
            if aims[1] is not None:
                times = ours["rows_per_second"] / max(rates)
                line(f"{key}: times the fastest of the peer", f">= {aims[1]}", times, times >= aims[1])
                line("share of the GEMM rate", ">= .5", ours["share_of_gemm"], ours["share_of_gemm"] >= 0.5)
                memory = ours["peak_gib"] / first["peak_gib"]
                line("peak memory, of the peer's defaults (with checkpointing)", "<= .7", memory, memory <= 0.7)
                memory = ours["peak_gib"] / max(sides.values(), key=lambda one: one["rows_per_second"])["peak_gib"]
                line("peak memory, of the fastest of the peer", "<= .7", memory, memory <= 0.7)
    for name, one in found.get("frozen", {}).items():
        if name.startswith("SmolLM2"):
            line(f"frozen layers kept, times as fast: {name}", ">= 10", one["gain"], one["gain"] >= 10)
    text = "## What was aimed at\n\n" + table(("", "target", "here"), rows)
    return text + "\nOne GPU: not run, there was none; `python benchmarks/speed/gpu.py` says so.\n"


def peers(found: Results) -> str:
    names = {
        "lora": "SmolLM2-135M-Instruct on gsm8k, LoRA of rank 16 on all linear layers, 8 rows an update",
        "encoder": "MiniLM-L6 on banking77, all weights, 16 rows an update",
    }
    text = "## Beside the peers\n\n`make bench-peers`; medians of the rounds, the sides in turn.\n"
    for key, name in names.items():
        if key not in found:
            continue
        one = found[key]
        ours = one["sides"]["tuneproof"]
        rows = []
        for side, each in one["sides"].items():
            equal = "" if each["equal"] else ", not within 1% of ours"
            score = f"{each['loss']:.4f}{equal}" + (f", {each['right']:.1%} right" if key == "encoder" else "")
            times = "" if each is ours else f"{ours['rows_per_second'] / each['rows_per_second']:.2f}"
            memory = "" if each is ours else f"{ours['peak_gib'] / each['peak_gib']:.2f}"
            rows.append(
                (side, f"{each['tokens_per_second']:,.0f}", f"{each['rows_per_second']:.1f}", f"{each['peak_gib']:.2f}",
                 score, times, memory)
            )  # fmt: skip
        head = (
            "",
            "tokens/s",
            "rows/s",
            "GiB at most",
            "loss on the same rows after it",
            "ours is so many times as fast",
        )
        text += f"\n{name}: {one['rows']:,} rows, {one['tokens']:,} tokens, {one['updates']} updates.\n\n"
        text += table((*head, "of its memory"), rows)
        text += (
            f"\nShare of the GEMM rate of this process: {ours['share_of_gemm']:.0%} ({ours['gflops']:.0f} GFLOP/s of "
            f"products that the tokens need).\n\n{where(one['here'])}"
        )
    return text


def ablation(found: Results) -> str:
    rows, before = [], 0.0
    for one in found["variants"]:
        gain = f"{one['tokens_per_second'] / before - 1:+.1%}" if before else ""
        rows.append((one["name"], f"{one['tokens_per_second']:,.0f}", gain, one["added_gib"]))
        before = one["tokens_per_second"]
    text = "## One idea after the other\n\n`python benchmarks/speed/ablation.py --compile`: a step of LoRA as above, "
    text += f"{found['tokens']:,} tokens.\n\n"
    text += table(("what", "tokens/s", "gain", "GiB that a step adds"), rows)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["profile"].items() if share >= 0.01)
    text += f"\nWhere the time of the last line goes, by torch's profiler: {shares}.\n"
    if "compiled" in found:
        one = found["compiled"]
        rate = one["tokens_per_second"]
        text += (
            f"\n**Compiling each layer** for this one padded shape: {rate['compiled']:,.0f} tokens/s against "
            f"{rate['not compiled']:,.0f}; the first step took {one['first_step']:.0f} s. It is not used: every shape "
            "would have to be compiled, and rows side by side have a new one in nearly every step.\n"
        )
    return text + f"\n{where(found['here'])}"


def prefixes(found: Results) -> str:
    told = {
        "shared": "300 tokens in common, 40 of their own",
        "even": "as training meets them: of one length, the template's system prompt in front",
        "mixed": "40 to 320 tokens, nothing in common",
    }
    rows = []
    for key, what in told.items():
        one = found[key]
        s = one["seconds"]
        peak = one["added_gib"]
        rows.append(
            (what, one["padded"], one["computed"], s["padded"], s["side by side"],
             f"{s['padded'] / s['side by side']:.2f}", f"{peak['padded']:.2f}, {peak['side by side']:.2f}")
        )  # fmt: skip
    head = (
        "eight rows",
        "tokens, padded",
        "computed",
        "s a step, padded",
        "side by side",
        "times as fast",
        "GiB that a step adds",
    )
    text = (
        "## Rows side by side, what all begin with once\n\n`python benchmarks/speed/prefixes.py`: a step of LoRA.\n\n"
    )
    return f"{text}{table(head, rows)}\n{where(found['here'])}"


def frozen(found: Results) -> str:
    rows = []
    for name, one in found.items():
        if name == "here":
            continue
        losses = {kind: f"{each['second epoch']:.1e}" for kind, each in one["losses"].items()}
        rows.append(
            (name, one["seconds"]["anew"], one["seconds"]["kept"], one["gain"], one["once"], one["kept_mib"],
             ", ".join(f"{kind} {value}" for kind, value in losses.items()))
        )  # fmt: skip
    head = ("", "s a step, anew", "kept", "times as fast", "s to run it once", "MiB kept")
    text = (
        "## The frozen part once\n\n`python benchmarks/speed/frozen.py`: steps of a later epoch. Losses of the first "
    )
    text += "epoch were equal to the bit with and without, or the script would have ended.\n\n"
    text += table((*head, "largest relative difference of a loss in the second epoch"), rows)
    return f"{text}\n{where(found['here'])}"


def growth(found: Results) -> str:
    rows = [
        (what, f"{one['tokens']:,}", one["seconds"], f"{one['tokens'] / one['seconds']:,.0f}", one["peak_gib"])
        for what in ("rows", "lengths")
        for one in found[what]
    ]
    text = (
        "## As the work grows\n\n`python benchmarks/speed/growth.py`: rows x1, x4, x16 (an epoch of MiniLM-L6), length "
    )
    text += "x1, x2, x4 (a step of SmolLM2-135M with LoRA).\n\n![Seconds over tokens](growth.svg)\n\n"
    text += table(("what grows", "tokens", "seconds", "tokens/s", "GiB at most"), rows)
    return (
        f"{text}\nSlopes of log seconds over log tokens, 1 is linear: rows {found['slope of rows']}, lengths "
        f"{found['slope of lengths']}.\n\n{where(found['here'])}"
    )


def fast_and_plain(found: Results) -> str:
    kinds = {
        "classes": ("MiniLM-L6 on banking77, every weight, accuracy", ".4f"),
        "chat": ("SmolLM2-135M on medquad_instruct, LoRA, loss per answer token", ".4f"),
    }
    rows = []
    for kind, (what, form) in kinds.items():
        one = found[kind]
        first = one["seeds"][0]
        rows.append(
            (
                f"{what}: {first['updates']:,} updates over {first['rows']:,} rows, scored on {first['judged']:,}",
                *(", ".join(f"{seed[side]:{form}}" for seed in one["seeds"]) for side in ("fast", "plain")),
                f"{one['difference']:+.5f}, three standard errors {one['three_errors']:.5f}",
                f"{max(seed['relative_difference_of_the_mean_loss'] for seed in one['seeds']):.2%}",
            )
        )
    head = ("whole trainings in bf16", "fast, three seeds", "plain", "mean difference", "mean training loss apart by")
    text = "## The fast loop and the plain one, to the end\n\n`python benchmarks/speed/fast_and_plain.py`.\n\n"
    return f"{text}{table(head, rows)}\n{where(found['chat']['here'])}"


SECTIONS = {
    "peers": peers,
    "ablation": ablation,
    "prefixes": prefixes,
    "frozen": frozen,
    "growth": growth,
    "fast_and_plain": fast_and_plain,
}


if __name__ == "__main__":
    main()
