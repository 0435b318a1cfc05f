"""Chat templates are programs from strangers: read them without running them.

    check_template(text, "tokenizer_config.json")          # returns nothing, or raises ModelError

The text is parsed by jinja2 under the sandbox's rules and its tree is walked. It is never rendered and never
compiled here, because jinja2 already computes constant expressions such as ``"a" * 10**10`` while compiling.
The renderer, elsewhere, still runs it in an ImmutableSandboxedEnvironment and with a time limit.
"""

from __future__ import annotations

from tuneproof.errors import ModelError

TEMPLATE_LIMIT = 64 * 1024  # bytes; the longest of the well-known chat templates has about 15 KB
NUMBER_LIMIT = 100_000  # the sandbox's own limit for range()
OWN_FILTERS = ("tojson", "from_json")


def check_template(text: str, origin: str) -> None:
    """Refuse a template that is too long, not valid, or reaches for the inside of Python objects."""
    hint = "Replace it by the template of the model's publisher, or remove it."
    if len(text.encode("utf-8", "surrogatepass")) > TEMPLATE_LIMIT:
        raise ModelError(f"The chat template in {origin} is longer than {TEMPLATE_LIMIT // 1024} KiB.", hint)
    reason = _first_fault(text)
    if reason:
        raise ModelError(f"The chat template in {origin} is refused: {reason}.", hint)


def _first_fault(text: str) -> str:
    from jinja2 import TemplateSyntaxError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The ``{% generation %}`` block with which transformers marks the assistant's tokens."""

        tags = {"generation"}  # noqa: RUF012, jinja2's own way

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols", Generation])
    try:
        tree = environment.parse(text)
    except (TemplateSyntaxError, RecursionError, UnicodeError, ValueError) as error:
        return f"it is not a valid template ({error.__class__.__name__})"
    known = (*environment.filters, *OWN_FILTERS)
    for node in _nodes(tree):
        if fault := _fault(node, known, tuple(environment.tests)):
            return fault
    return ""


def _nodes(tree: object) -> list[object]:
    """All nodes, without recursion: a template may nest deeper than Python's stack."""
    from jinja2 import nodes

    found: list[object] = []
    todo = [tree]
    while todo:
        node = todo.pop()
        found.append(node)
        if isinstance(node, nodes.Node):
            todo.extend(node.iter_child_nodes())
    return found


def _fault(node: object, filters: tuple[str, ...], tests: tuple[str, ...]) -> str:
    from jinja2 import nodes

    if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
        return "it loads another template"
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        return f'it reads the private attribute "{node.attr}"'
    if isinstance(node, nodes.Name) and node.name.startswith("__"):
        return f'it uses the private name "{node.name}"'
    if isinstance(node, nodes.Const) and isinstance(node.value, str) and "__" in node.value:
        return "it has a string with two underscores, the way to reach private attributes"
    if isinstance(node, nodes.Const) and isinstance(node.value, int | float) and abs(node.value) > NUMBER_LIMIT:
        return f"it uses a number above {NUMBER_LIMIT:,}"
    if isinstance(node, nodes.Pow):
        return "it raises a number to a power"
    if isinstance(node, nodes.Filter) and (node.name == "attr" or node.name not in filters):
        return f'it uses the filter "{node.name}"'
    if isinstance(node, nodes.Test) and node.name not in tests:
        return f'it uses the unknown test "{node.name}"'
    return ""
