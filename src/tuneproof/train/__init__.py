"""Train: the loop, what drives it, and checkpoints from which it continues bit for bit.

    for progress in train(run, work, steps, say): ...       # fit.py; resuming is the same call

``batches`` -> ``loop`` -> ``drive`` -> ``fit``; ``optim`` and ``checkpoint`` beside them. Knows no task and no method.
"""
