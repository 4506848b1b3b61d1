"""SRVGGNetCompact, the network of the post-processor ``upscale``."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

WEIGHTS = Path(__file__).with_name("weights") / "realesr-animevideov3-x4.safetensors"
LAST = 34
"""Index of the last convolution in ``body``: 17 pairs of convolution and PReLU come before it."""
REACH = 18
"""How far a pixel of the input acts: one pixel for each of 18 convolutions of 3x3."""


class SRVGGNetCompact:
    """Real-ESRGAN's compact x4 network (Wang et al. 2021), in fp32 on the CPU. Any number of threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._weights: dict[str, Tensor] | None = None

    def __call__(self, image: Image) -> Image:
        """The RGB picture, four times larger."""
        import numpy as np
        import torch
        from PIL import Image as images

        with torch.inference_mode():
            x = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)
            y = self._forward(x[None])[0].permute(1, 2, 0)
            return images.fromarray((y.clamp(0, 1) * 255).round().to(torch.uint8).numpy())

    def _forward(self, x: Tensor) -> Tensor:
        from torch.nn import functional as F

        weights = self._load()
        y = x
        for i in range(0, LAST, 2):
            y = F.conv2d(y, weights[f"body.{i}.weight"], weights[f"body.{i}.bias"], padding=1)
            y = F.prelu(y, weights[f"body.{i + 1}.weight"])
        y = F.conv2d(y, weights[f"body.{LAST}.weight"], weights[f"body.{LAST}.bias"], padding=1)
        # The network learned what to add to the nearest neighbour's x4.
        return F.pixel_shuffle(y, 4) + F.interpolate(x, scale_factor=4, mode="nearest")

    def _load(self) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        with self._lock:
            if self._weights is None:
                self._weights = {name: weight.float() for name, weight in load_file(WEIGHTS).items()}
            return self._weights
