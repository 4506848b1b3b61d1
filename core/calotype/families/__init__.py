"""The kinds of checkpoint that can be run. A new one is one more family, here or in a plugin."""

from calotype.families.family import Defaults, Facts, Family, Guidance, family_of
from calotype.families.flux import Flux
from calotype.families.folder import Folder
from calotype.families.sd3 import StableDiffusion3
from calotype.families.sdxl import StableDiffusionXL
from calotype.families.stable_diffusion import LatentConsistency, StableDiffusion1, StableDiffusion2

BUNDLED: tuple[Family, ...] = (
    StableDiffusion2(),
    StableDiffusion1(),
    LatentConsistency(),
    StableDiffusionXL(),
    StableDiffusion3(),
    Flux(),
)
"""Those that look closer stand first."""

__all__ = ["BUNDLED", "Defaults", "Facts", "Family", "Folder", "Guidance", "family_of"]
