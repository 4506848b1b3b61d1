"""Calotype's public plugin API, and nothing else.

A plugin imports from here only. torch is not imported by this module.
"""

from calotype.person import Person
from calotype.plugins.hookspecs import hookimpl
from calotype.postprocess import PictureInfo, PostProcessor
from calotype.request import Request
from calotype.review import Refusal, ReviewInfo
from calotype.sampling import (
    Estimate,
    Latents,
    NoiseLevels,
    NoiseSource,
    NoParams,
    Params,
    Query,
    Sampler,
    Sampling,
    Schedule,
    Sigmas,
)

__all__ = [
    "Estimate",
    "Latents",
    "NoParams",
    "NoiseLevels",
    "NoiseSource",
    "Params",
    "Person",
    "PictureInfo",
    "PostProcessor",
    "Query",
    "Refusal",
    "Request",
    "ReviewInfo",
    "Sampler",
    "Sampling",
    "Schedule",
    "Sigmas",
    "hookimpl",
]
__version__ = "0.1.0"
