"""Deploy: an export that equals the model that was scored, and a server for it.

A room that waits: nothing is here yet.
"""
