"""Monitor: whether production is still like the reference, and whether the quality is still there.

A room that waits: nothing is here yet.
"""
