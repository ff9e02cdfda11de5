"""Rendering factors as images: a white square, ellipse or heart on black, antialiased, deterministic.

The five factors are those of dSprites (Matthey et al., dSprites: Disentanglement testing sprites dataset, 2017). Each
outline is a signed distance d in pixels, negative inside; the brightness of a pixel is its coverage by the half-plane
at that distance: clamp(1/2 - d, 0, 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

SHAPES = ("square", "ellipse", "heart")

_CHUNK = 2**20  # pixels whose distances are in memory at a time


class Factors(NamedTuple):
    """The content of each of N images; lengths are fractions of the side of the image."""

    shape: Tensor  # int64 (N,): 0 square, 1 ellipse, 2 heart
    scale: Tensor  # float (N,): radius of the smallest circle about the centre that contains the shape
    rotation: Tensor  # float (N,): radians, counter-clockwise
    x: Tensor  # float (N,): position of the centre from the left edge
    y: Tensor  # float (N,): position of the centre from the upper edge


def render(factors: Factors, size: int) -> Tensor:
    """Return uint8 images (N, 1, size, size) of N ≥ 1 factors; shapes are cut off at the edges."""
    at_once = max(1, _CHUNK // size**2)
    chunks = zip(*(torch.split(factor, at_once) for factor in factors), strict=True)
    return torch.cat([_render(Factors(*chunk), size) for chunk in chunks])


def square_distance(u: Tensor, v: Tensor, half_side: Tensor) -> Tensor:
    """Return the signed distance of (u, v) from the outline of the axis-parallel square about the origin."""
    across, along = u.abs() - half_side, v.abs() - half_side
    outside = torch.hypot(across.clamp(min=0), along.clamp(min=0))
    return outside + torch.maximum(across, along).clamp(max=0)


def ellipse_distance(u: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the signed distance from the ellipse of semi-axes a, b, to first order: f / |∇f| (Taubin 1991)."""
    level = torch.hypot(u / a, v / b).clamp(min=1e-6)  # 1 on the outline
    slope = torch.hypot(u / a**2, v / b**2) / level
    return (level - 1) / slope.clamp(min=1e-6)


def heart_distance(u: Tensor, v: Tensor, radius: Tensor) -> Tensor:
    """Return the signed distance from a heart: a square on its corner, with a half-disc on each of its upper sides.

    It is exact outside and has the right sign inside.
    """
    half = radius / 2  # half a side of the square, and the discs' radius
    p, q = (u + v) / math.sqrt(2), (v - u) / math.sqrt(2)  # along the sides of the square
    right, left = torch.hypot(p - half, q) - half, torch.hypot(p, q - half) - half
    return torch.minimum(square_distance(p, q, half), torch.minimum(right, left))


def _render(factors: Factors, size: int) -> Tensor:
    centres = torch.arange(size, device=factors.x.device) + 0.5  # of the pixels
    scale, rotation, x, y = (factor.float().view(-1, 1, 1) for factor in factors[1:])
    right, up = centres.view(1, 1, -1) - x * size, y * size - centres.view(1, -1, 1)
    u = rotation.cos() * right + rotation.sin() * up  # in the frame of the shape
    v = rotation.cos() * up - rotation.sin() * right
    radius = scale * size
    distance = torch.empty_like(u)
    for index in range(len(SHAPES)):
        chosen = factors.shape == index
        own_u, own_v, own_radius = u[chosen], v[chosen], radius[chosen]
        if index == 0:
            distance[chosen] = square_distance(own_u, own_v, own_radius / math.sqrt(2))
        elif index == 1:
            distance[chosen] = ellipse_distance(own_u, own_v, own_radius, own_radius / 2)
        else:
            distance[chosen] = heart_distance(own_u, own_v, own_radius)
    coverage = (0.5 - distance).clamp(0, 1)
    return (coverage * 255).round().to(torch.uint8).unsqueeze(1)
