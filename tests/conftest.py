"""The fixtures of all tests, from tiny.py: a name that no other folder's conftest has, so tests can import from it."""

import hypothesis
from tiny import *  # noqa: F403

# How long an example takes says how busy the machine is: time is measured in benchmarks.
hypothesis.settings.register_profile("tuneproof", deadline=None)
hypothesis.settings.load_profile("tuneproof")
