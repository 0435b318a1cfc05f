"""Fixtures of this folder: each tuned run is made once for all of its tests."""

from served_models import chatter, reviewer, served
from tuned_runs import chat_run, review_run

__all__ = ["chat_run", "chatter", "review_run", "reviewer", "served"]
