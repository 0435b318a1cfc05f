"""Which pretrained model, from where, and does it fit: ``choose(asked, ...)`` and ``facts(source)``.

    name, reason = choose(None, "text-classification", ("encoder",), machine())

Reads configuration and file headers only; it never opens a model.
"""

from tuneproof.choose.facts import facts
from tuneproof.choose.rank import choose

__all__ = ["choose", "facts"]
