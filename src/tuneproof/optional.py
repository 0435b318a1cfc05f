"""Packages that not everybody has: use them at the last moment, and fail with the line that installs them.

optuna = need("optuna", extra="search")
"""

from __future__ import annotations

import importlib
from types import ModuleType

from tuneproof.errors import DependencyError


def need(package: str, extra: str) -> ModuleType:
    """The imported package, or a DependencyError whose hint is the install line of the extra that brings it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise DependencyError(
            f'This needs the package "{package}", which is not installed.', f'Run: pip install "tuneproof[{extra}]"'
        ) from error
