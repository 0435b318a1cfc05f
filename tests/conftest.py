"""The fixtures of all tests, from tiny.py: a name that no other folder's conftest has, so tests can import from it."""

from tiny import *  # noqa: F403
