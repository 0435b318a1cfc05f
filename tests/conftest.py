"""The fixtures of all tests, from tiny.py and commands.py: names that no other folder has, so tests can import them."""

import hypothesis
from commands import *  # noqa: F403
from tiny import *  # noqa: F403

# How long an example takes says how busy the machine is: time is measured in benchmarks.
hypothesis.settings.register_profile("tuneproof", deadline=None)
hypothesis.settings.load_profile("tuneproof")
