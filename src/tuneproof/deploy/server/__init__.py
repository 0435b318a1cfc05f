"""Answers over HTTP, from the model that was scored: ``tuneproof serve NAME|RUN ...``.

    serve(["runs/reviews-7f3a"], Serving())              # until Ctrl-C or SIGTERM

One process, one thread per model, no outbound request of any kind, loopback and a token unless somebody says otherwise.
A name of the registry follows its champion: when another version is promoted, it is loaded beside the old one, has to
give the stored answers again, and then the name points at it.
"""

from tuneproof.deploy.server.serving import Serving, serve

__all__ = ["Serving", "serve"]
