"""The torch side. A job comes in: host → shelf, models → conditioning, starting → run. A tick: ticking → fairness →
batcher → run → denoiser → models. A picture is finished: finisher → finishing. Threads are
:mod:`~calotype.engine.worker`'s, and :mod:`~calotype.engine.watchdog` looks after those in which plugins run.

Knows no database, no registry and no sampler by name: it is handed :class:`~calotype.engine.assignment.Assignment`.
"""
