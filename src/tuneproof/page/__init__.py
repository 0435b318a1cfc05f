"""Pages: plain JSON as one HTML file that opens without a network.

    PAGE = Page(Path(__file__).parent / "templates", "report.json", head, verdict, SECTIONS)
    render(PAGE, report)

A page is its first screen and its sections. A section is a row in the page's table, one view that arranges its
figures, and one template ``sections/<name>.html.j2``, in the page's own folder or in this one where several pages have
it. A section whose figures are missing is left out; keys that nobody knows are ignored. It computes nothing: what is
not in the JSON is not on the page. All text of the JSON is untrusted and is shown as text. What a page says about
training or data is its owner's business (``evaluate.page``, ``prepare.page``).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tuneproof.page import numbers
from tuneproof.page.alike import common
from tuneproof.page.words import METRICS, TERMS, Metric

if TYPE_CHECKING:
    from jinja2 import Environment

View = Mapping[str, Any]

TEMPLATES = Path(__file__).parent / "templates"
TEXT_BUDGET = 1_400_000  # bytes of long user texts on one page: it must stay under 3 MB
TEXT_SHOWN = 320  # characters of a text before "show all"
TEXT_MOST = 24_000  # characters of one text behind "show all"


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: the name of its template, its title, and the view that gives its figures or None."""

    name: str
    title: str
    view: Callable[[View], View | None]


@dataclass(frozen=True, slots=True)
class Head:
    """What stands in the title of the window, at the top and at the bottom; "" where it is not known."""

    title: str
    id: str  # of the run
    created: str
    version: str  # of tuneproof
    metric_help: Mapping[str, str]  # what the JSON itself says about its metrics


@dataclass(frozen=True, slots=True)
class Page:
    """One kind of page."""

    templates: Path  # the folder with its verdict.html.j2 and sections/
    source: str  # the file that it is drawn from, which lies beside it
    head: Callable[[View], Head]
    verdict: Callable[[View], View]  # the figures of the first screen
    sections: tuple[Section, ...]


def render(page: Page, report: View) -> str:
    """The whole page; raises nothing for missing, empty or odd parts of the report."""
    used: dict[str, str] = {}
    head = page.head(report)
    env, own = _environment(page.templates), _own(used, head.metric_help)
    first = env.get_template("verdict.html.j2").render({**own, "verdict": page.verdict(report)})
    sections = []
    for section in page.sections:
        view = section.view(report)
        if view:
            body = env.get_template(f"sections/{section.name}.html.j2").render({**own, **view})
            sections.append({"name": section.name, "title": section.title, "body": Markup(body)})
    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    whole = env.get_template("page.html.j2").render(
        **own,
        head=head,
        source=page.source,
        first=Markup(first),
        sections=sections,
        words=used,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return _printable(whole)


@cache
def _environment(templates: Path) -> Environment:
    """Templates with escaping on, compiled once."""
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    env = Environment(
        loader=FileSystemLoader([templates, TEMPLATES]),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("count", "plural", "number", "share", "score", "signed", "interval", "probability", "duration", "moment")
    for name in (*filters, "memory", "large"):
        env.filters[name] = getattr(numbers, name)
    env.filters["plural_of"] = lambda items, noun, many="": numbers.plural(len(items), noun, many)
    env.filters["breakable"] = breakable
    env.filters["common"] = common
    env.filters["file"] = file_name
    env.filters["last_part"] = last_part
    env.filters["legend_of"] = lambda lines: [(f"line-{line.kind}", line.name) for line in lines]
    return env


def _own(used: dict[str, str], metric_help: Mapping[str, str]) -> dict[str, Any]:
    """What belongs to one page: its budget of text, and in ``used`` the terms that it explains at its end."""

    def term(word: str, shown: str = "") -> Markup:
        """A term with its meaning in a tooltip."""
        return _explained(shown or word, word, TERMS.get(word, ""), used)

    def metric(name: Any, first: bool = False) -> Markup:
        """The name of a metric with its meaning in a tooltip; ``first``: with a capital, at the start of a line."""
        known = METRICS.get(str(name), Metric(str(name).replace("_", " "), ""))
        shown = known.name[:1].upper() + known.name[1:] if first else known.name
        return _explained(shown, known.name, metric_help.get(str(name)) or known.meaning, used)

    return {"term": term, "metric": metric, "shorten": _shortener()}


def _explained(shown: str, word: str, meaning: str, used: dict[str, str]) -> Markup:
    if not meaning:
        return Markup("{}").format(shown)
    used[word] = meaning
    return Markup('<abbr title="{}" tabindex="0">{}</abbr>').format(meaning, shown)


def breakable(value: Any) -> Markup:
    """A label that may be broken after the marks that join its words: transfer_not_received, org/name."""
    return Markup("<wbr>").join(re.split(r"(?<=[_/.:-])", str(value)))


def file_name(value: Any) -> Markup:
    """The last part of a path, with the whole path in a tooltip: a cache folder says nothing to a reader."""
    whole = str(value or "")
    last = last_part(whole)
    tip = Markup(' data-tip="{}"').format(whole) if last != whole else ""
    return Markup("<bdi{}>{}</bdi>").format(tip, breakable(last))


def last_part(value: Any) -> str:
    """``a/b/c.csv`` -> ``c.csv``; of several files, ``a/b.csv, a/c.csv``, each: ``b.csv, c.csv``."""
    whole = str(value or "").rstrip("/\\")
    each = [re.split(r"[/\\]", part)[-1] for part in whole.split(", ")]
    return ", ".join(each) if all("." in part for part in each) else re.split(r"[/\\]", whole)[-1]


def written_size(text: str) -> int:
    """Bytes of ``text`` on the page, its escapes counted."""
    return len(text.encode("utf-8", "replace")) + 5 * sum(map(text.count, "<>&\"'"))


def _shortener() -> Callable[[Any], dict[str, Any]]:
    """Cuts long texts in two: what is shown, and what stands behind "show all", within the budget of the page."""
    left = TEXT_BUDGET

    def shorten(value: Any) -> dict[str, Any]:
        nonlocal left
        text = "" if value is None else str(value)
        if len(text) <= TEXT_SHOWN:
            return {"head": text, "chars": len(text)}
        whole = text[:TEXT_MOST]
        size = written_size(whole)
        if size > left:
            whole = ""
        else:
            left -= size
        return {
            "head": text[:TEXT_SHOWN].rstrip(),
            "whole": whole,
            "chars": len(text),
            "missing": len(text) - len(whole),
        }

    return shorten


def _printable(page: str) -> str:
    """Without what no file may hold: control characters and halves of surrogate pairs become a visible mark."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", "\ufffd", page)
