"""Models and data sets of the Hugging Face hub: a branch becomes a commit, whose files wait in quarantine and come in.

    commit, files = look_up("distilbert/distilbert-base-uncased", "")
    download("distilbert/distilbert-base-uncased", commit, files, folder)
    commit, files, licence = look_up_data("org/name", "main", (".csv", ".parquet"))

Only files whose names admission wants are asked for, and their sizes and hashes must be those of the listing. It
deliberately uses huggingface_hub for the wire alone: its cache is not used, and no branch name is kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tuneproof.errors import DataError, Error, ModelError, ResourceError
from tuneproof.sources.admission import digest, wanted
from tuneproof.sources.names import COMMIT, is_inside

OFFLINE_HINT = (
    "Check the network and HF_ENDPOINT, or use a model that needs no hub: minilm-l6, smollm2-135m-instruct, "
    "or a local folder."
)
DATA_HINT = "Check the network and HF_ENDPOINT, or give a file of this disk."


class Remote(NamedTuple):
    """One file of a repository, as the hub lists it."""

    name: str
    size: int
    sha256: str  # "" for small files, which git hashes its own way


def look_up(repo: str, revision: str) -> tuple[str, list[Remote], str]:
    """(40-hex commit, wanted files, licence) of a repository; ModelError says what the hub answered."""
    from huggingface_hub import HfApi

    info, commit = _info(HfApi().model_info, repo, revision, ModelError, "model", OFFLINE_HINT)
    files = [_remote(file) for file in info.siblings or [] if wanted(file.rfilename)]
    if not any(file.name.endswith(".safetensors") for file in files):
        raise ModelError(
            f"{repo} has no safetensors weights, and no other kind is loaded.",
            "Choose a model that is published as safetensors.",
        )
    return commit, files, _licence(info)


def look_up_data(repo: str, revision: str, suffixes: tuple[str, ...]) -> tuple[str, list[Remote], str]:
    """(40-hex commit, tables, licence) of a data set; DataError says what the hub answered."""
    from huggingface_hub import HfApi

    info, commit = _info(HfApi().dataset_info, repo, revision, DataError, "data set", DATA_HINT)
    names = [file for file in info.siblings or [] if is_inside(file.rfilename)]
    return commit, [_remote(file) for file in names if file.rfilename.lower().endswith(suffixes)], _licence(info)


def _info(
    ask: Callable[..., Any], repo: str, revision: str, kind: type[Error], what: str, offline: str
) -> tuple[Any, str]:
    """What the hub says of a repository, and the commit that it is at."""
    from huggingface_hub import errors as hub

    try:
        info = ask(repo, revision=revision or None, files_metadata=True, timeout=30)
    except hub.GatedRepoError as error:
        raise kind(f"{repo} is only given out on request.", "Ask for it on its page, then set HF_TOKEN.") from error
    except hub.RevisionNotFoundError as error:
        raise kind(f'{repo} has no revision "{revision}".', "Name a branch, tag or commit of it.") from error
    except hub.RepositoryNotFoundError as error:
        raise kind(f"The hub has no {what} {repo}.", "Check its spelling; for a private one set HF_TOKEN.") from error
    except Exception as error:  # whichever of its transports fails: none of them has a common class
        if not _is_transport(error):
            raise
        raise kind(f"The {'model ' if what == 'model' else ''}hub cannot be reached for {repo}.", offline) from error
    commit = info.sha or ""
    if not COMMIT.fullmatch(commit):
        raise kind(f"The hub did not say which commit {repo} is at.", "Name one: org/name@<40 hex digits>.")
    return info, commit


def _licence(info: Any) -> str:
    return str(getattr(info.card_data, "license", None) or "not stated")


def _remote(file: Any) -> Remote:
    return Remote(file.rfilename, int(file.size or 0), file.lfs.sha256 if file.lfs else "")


def _is_transport(error: Exception) -> bool:
    """Whether an exception of huggingface_hub, or of the transport it uses (httpx, httpx2), means a lost connection."""
    modules = {base.__module__.partition(".")[0] for base in type(error).__mro__}
    return isinstance(error, OSError) or any(name.startswith(("http", "huggingface_hub")) for name in modules)


def download(
    repo: str,
    commit: str,
    files: list[Remote],
    folder: Path,
    kind: type[Error] = ModelError,
    repo_type: str = "model",
) -> None:
    """Fetch the listed files of one commit into ``folder``; what arrives must be what the listing said."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quarantine = folder.parent / "quarantine"
    were_off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        for file in files:
            path = Path(hf_hub_download(repo, file.name, revision=commit, local_dir=quarantine, repo_type=repo_type))
            if path.is_symlink() or path.stat().st_size != file.size or file.sha256 not in ("", digest(path)):
                raise kind(f"{file.name} of {repo} did not arrive as the hub lists it.", "Try again.")
            shutil.move(path, folder / Path(file.name).name)
    except Error:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == 28:
            raise ResourceError(f"The disk was full while {repo} was fetched.", "Free some space.") from error
        if not _is_transport(error):
            raise
        raise kind(f"The download of {repo} broke off.", OFFLINE_HINT if kind is ModelError else DATA_HINT) from error
    finally:
        shutil.rmtree(quarantine, ignore_errors=True)
        if not were_off:
            enable_progress_bars()
