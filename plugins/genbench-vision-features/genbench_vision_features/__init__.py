"""Feature extractors based on large image networks; genbench reads their names without importing torch or timm."""

from __future__ import annotations

from collections.abc import Iterable

import genbench

EXTRACTORS = {
    "dinov2-small": "384 features of DINOv2's ViT-S/14 (weights: 88 MB)",
    "dinov2-base": "768 features of DINOv2's ViT-B/14 (weights: 346 MB)",
    "dinov2-large": "1024 features of DINOv2's ViT-L/14, which papers call FDD (weights: 1.2 GB)",
    "clip-vit-b32": "512 features of OpenAI's CLIP ViT-B/32, its image embedding (weights: 352 MB)",
    "clip-vit-l14": "768 features of OpenAI's CLIP ViT-L/14, its image embedding (weights: 1.2 GB)",
    "clip-vit-l14-336": "768 features of the same network at 336 pixels, those of CMMD (weights: 1.2 GB)",
    "timm": "features of the timm model named by $GENBENCH_TIMM_MODEL",
}


@genbench.hookimpl
def genbench_extractors() -> Iterable[genbench.ExtractorSpec]:
    """Yield the extractors; none is used unless named."""
    for name, summary in EXTRACTORS.items():
        target = f"genbench_vision_features.networks:load_{name.replace('-', '_')}"
        yield genbench.ExtractorSpec(name=name, summary=summary, load=target, default=False)
