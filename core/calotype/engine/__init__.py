"""The torch side, in the order of one picture: models → conditioning → run → denoiser → batcher → finishing.

Knows no database, no registry and no sampler by name: it is handed :class:`~calotype.engine.assignment.Assignment`.
"""
