"""What is deployed under a name: versions that never change, aliases that move, and a ledger of every decision.

    registry = Registry()                                  # $XDG_DATA_HOME/tuneproof
    version = registry.register(Run.open("runs/reviews-7f3a"), "reviews")
    registry.resolve("reviews@1").run                      # opens with Predictor.open(...), as any run does
    found("reviews@champion"), found("runs/reviews-7f3a")  # whatever a user may name

``home`` is the folder and its names, ``store`` keeps files by content, ``ledger`` the chain of decisions, ``versions``
the manifests, ``books`` all of them together. Nothing here imports torch or opens a model.
"""

from tuneproof.deploy.registry.books import Registry, found
from tuneproof.deploy.registry.ledger import Line
from tuneproof.deploy.registry.versions import Version

__all__ = ["Line", "Registry", "Version", "found"]
