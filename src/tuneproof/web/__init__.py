"""Pages over the run directory: they will draw what the stages wrote, and compute nothing.

A room that waits: nothing is here yet.
"""
