"""Deploy: an export that equals the model that was scored, a registry with a gate, and a server.

``registry`` keeps versions, aliases and the ledger of decisions. Nothing is imported here: the registry needs no torch.
"""
