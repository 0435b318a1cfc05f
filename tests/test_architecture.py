"""The house stands as drawn: direction of imports, exported names, what may not occur, and that help is instant.

The rules about code are read from the syntax tree, so a word in a docstring, a comment or a table of refused names
(as in ``sources/settings.py``) is no hit: only an import, a call, an attribute or a keyword argument is.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tuneproof

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "tuneproof"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BIN = Path(sys.executable).parent

FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
HELP_SECONDS = 0.35


# -- direction of imports


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of ``folder``'s pyproject.toml, held against the package that stands in ``folder``."""
    command = [str(BIN / "lint-imports"), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the package and the contracts; the linter looks for a package where it is started."""
    shutil.copytree(PACKAGE, tmp_path / "tuneproof", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept(copy: Path) -> None:
    ran = lint_imports(copy)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("train/loop.py", "import tuneproof.prepare", "Stages never import one another BROKEN"),
        ("errors.py", "import tuneproof.config", "Direction of imports: .* BROKEN"),
        ("stats/paired.py", "import tuneproof.tasks", "Direction of imports: .* BROKEN"),
        ("leftovers.py", "", "leftovers"),
    ],
    ids=["a stage imports a stage", "the lowest line imports up", "statistics know a task", "a module without a place"],
)
def test_a_breach_is_noticed(copy: Path, file: str, line: str, told: str) -> None:
    with (copy / "tuneproof" / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    ran = lint_imports(copy)
    assert ran.returncode != 0
    assert re.search(told, ran.stdout + ran.stderr), ran.stdout + ran.stderr


def test_every_folder_with_code_is_a_package() -> None:
    """Without its ``__init__`` a folder is invisible to the contracts, and absent from a built wheel."""
    assert [f.parent for f in FILES if not (f.parent / "__init__.py").is_file()] == []


def imported(tree: ast.Module, *, top: bool) -> Iterator[str]:
    """Names of the modules that are imported; with ``top`` only those imported when the module itself is."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not (top and (inside or types_only)):
            todo += ast.iter_child_nodes(node)


def test_no_import_is_relative() -> None:
    """One way to name a module, so that a search for it finds all of its users."""
    nodes = [(name, n) for name, tree in TREES.items() for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert [(name, node.lineno) for name, node in nodes if node.level] == []


@pytest.mark.parametrize("name", ["errors.py", "records.py"])
def test_the_lowest_line_needs_the_standard_library_only(name: str) -> None:
    found = {module.split(".")[0] for module in imported(TREES[name], top=False)}
    assert found <= sys.stdlib_module_names


def test_torch_and_transformers_come_in_above_the_first_line() -> None:
    light = (
        "errors",
        "records",
        "config",
        "run",
        "device",
        "memory",
        "optional",
        "sources/",
        "stats/",
        "cli",
        "__init__",
    )
    heavy = {"torch", "transformers", "peft"}
    found = {
        (name, module)
        for name, tree in TREES.items()
        if name.startswith(light)
        for module in imported(tree, top=True)
        if module.split(".")[0] in heavy
    }
    assert found == set()


# -- packaging


def required(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def test_what_is_imported_is_required() -> None:
    project = PROJECT["project"]
    known = required(project["dependencies"]).union(*map(required, project["optional-dependencies"].values()))
    homes = importlib.metadata.packages_distributions()
    found = {module.split(".")[0] for tree in TREES.values() for module in imported(tree, top=False)}
    foreign = found - sys.stdlib_module_names - {"tuneproof"}
    assert {m for m in foreign if not known & {canonicalize_name(d) for d in homes.get(m, [m])}} == set()


def test_every_install_line_names_an_extra_that_exists() -> None:
    calls = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [k.value for call in calls if name_of(call.func) == "need" for k in call.keywords if k.arg == "extra"]
    assert {n.value for n in named if isinstance(n, ast.Constant)} <= PROJECT["project"]["optional-dependencies"].keys()


def test_every_package_that_is_installed_is_pinned() -> None:
    """Direct and transitive, without the local part of a version, which only some indexes have."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    assert [line for line in pins.values() if not re.fullmatch(r"[0-9][0-9a-z.]*", line)] == []
    todo = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"], "setuptools"]
    seen: set[str] = set()
    while todo:
        wanted = Requirement(todo.pop())
        name = canonicalize_name(wanted.name)
        if name in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            todo += importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # a tool that is not in this environment
    cuda = {
        name for name in seen if name.startswith(("nvidia-", "cuda-")) or name == "triton"
    }  # pinned by torch itself
    assert seen - pins.keys() - cuda == set()


# -- what a person meets


def test_exactly_these_names_are_exported() -> None:
    assert sorted(tuneproof.__all__) == ["check", "open", "plan", "read", "resume", "tune"]
    assert all(callable(getattr(tuneproof, name)) for name in tuneproof.__all__)


def test_help_answers_at_once() -> None:
    """Median of five; up to three rounds, so that a neighbour on the machine does not decide."""
    medians: list[float] = []
    while len(medians) < 3 and (not medians or min(medians) > HELP_SECONDS):
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([BIN / "tuneproof", "--help"], check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        medians.append(statistics.median(times))
    assert min(medians) <= HELP_SECONDS, medians


@pytest.mark.parametrize(
    "command",
    [
        "",
        "tune",
        "plan",
        "resume",
        "predict",
        "chat",
        "runs",
        "models",
        "models pull",
        "eval",
        "compare",
        "baseline",
        "export",
        "registry",
        "registry show",
        "registry verify",
    ],
)
def test_help_imports_nothing_heavy(command: str) -> None:
    program = (
        "import sys; from tuneproof.cli import main\n"
        f"sys.argv = ['tuneproof', *{command.split()!r}, '--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'peft', 'polars', 'numpy', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


# -- what may not occur


def name_of(node: ast.AST) -> str:
    """``a.b.c`` for a chain of names, "" for anything else."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def unsafe(tree: ast.Module) -> list[str]:
    """Every way in which code or a file from elsewhere could run code here, as "line: what"."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if PICKLES & {name.split(".")[0] for name in [module, *names]}:
                found.append((node.lineno, "pickle"))
            if module in ("torch", "yaml") and {"load", "*"} & set(names):
                found.append((node.lineno, f"{module}.load"))
        elif isinstance(node, ast.Attribute):
            if name_of(node) in ("torch.load", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "os.system"):
                found.append((node.lineno, name_of(node)))
            if node.attr == "extractall":
                found.append((node.lineno, "extractall"))
        elif isinstance(node, ast.Name) and node.id in ("eval", "exec", "compile", "__import__"):
            found.append((node.lineno, node.id))
        elif isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "shell"):
            refused = isinstance(node.value, ast.Constant) and node.value.value is False
            found += [] if refused else [(node.value.lineno, f"{node.arg}=")]
    return [f"{line}: {what}" for line, what in found]


def variants(tree: ast.Module) -> list[str]:
    """Comparisons of a task or a method with its name: the tables are there so that nobody needs one."""
    found = []
    for node in ast.walk(tree):
        sides: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [
                node.subject,
                *(p.value for c in node.cases for p in ast.walk(c.pattern) if isinstance(p, ast.MatchValue)),
            ]
        asks = any(re.search(r"(^|\.|_)(task|method)(\.name)?$", name_of(side)) for side in sides)
        words = [n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant)]
        if asks and any(isinstance(word, str) for word in words):
            found.append(f"{sides[0].lineno}: {ast.unparse(node)[:80]}")
    return found


def clusters(tree: ast.Module) -> list[str]:
    return [module for module in imported(tree, top=False) if module.split(".")[0] == "ray"]


RULES: list[tuple[str, Callable[[ast.Module], list[str]], tuple[str, ...]]] = [
    ("unsafe", unsafe, ()),
    ("a task or method is asked for by name", variants, ("tasks/", "methods/")),
    ("ray", clusters, ("engines/ray.py",)),
]


@pytest.mark.parametrize(("rule", "excepted"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_does_not_occur(rule: Callable[[ast.Module], list[str]], excepted: tuple[str, ...]) -> None:
    hits = {name: rule(tree) for name, tree in TREES.items() if not name.startswith(excepted or ("\0",))}
    assert {name: hit for name, hit in hits.items() if hit} == {}


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (unsafe, "import pickle"),
        (unsafe, "from joblib import load"),
        (unsafe, "import torch; torch.load(f)"),
        (unsafe, "from torch import load"),
        (unsafe, "eval('1')"),
        (unsafe, "exec(code)"),
        (unsafe, "open_model(folder, trust_remote_code=True)"),
        (unsafe, "open_model(folder, trust_remote_code=asked)"),
        (unsafe, "run('ls', shell=True)"),
        (unsafe, "yaml.load(text)"),
        (unsafe, "archive.extractall(folder)"),
        (variants, "if task == 'instruction': pass"),
        (variants, "x = 1 if config.method.name == 'lora' else 2"),
        (variants, "if schema.task in ('a', 'b'): pass"),
        (variants, "match method:\n    case 'lora': pass"),
        (clusters, "def run():\n    from ray import train"),
    ],
)
def test_would_be_found(rule: Callable[[ast.Module], list[str]], code: str) -> None:
    assert rule(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        '"""never torch.load( or pickle"""',
        "REFUSED = {'trust_remote_code': 'asks to run code', '.pickle': 'pickle'}",
        "model.eval()",
        "yaml.safe_load(text)",
        "run(['ls'], shell=False)",
        "if config.method.name is None: pass",
    ],
)
def test_is_no_hit(code: str) -> None:
    assert not unsafe(ast.parse(code)) and not variants(ast.parse(code))


def test_every_module_has_a_name_and_says_what_it_is() -> None:
    homeless = {"util", "utils", "misc", "common", "extras", "helper", "helpers", "manager", "managers"}
    assert [name for name in TREES if homeless & {part.strip("_") for part in Path(name).with_suffix("").parts}] == []
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []
