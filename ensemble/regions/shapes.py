"""Plainer shapes for a person's region: convex hull, box, and a column of the picture."""

import numpy as np
import torch

from . import body as anatomy
from .capsules import segment_distance


def _outline(joints: np.ndarray) -> np.ndarray:
    """Points `[K,2]` a hull or box must hold: the joints, and the head's circle."""
    points = [joints[joints[:, 2] > 0, :2]]
    head = anatomy.head_circle(joints)
    if head is not None:
        turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        points.append(head[0] + head[1] * np.c_[np.cos(turn), np.sin(turn)])
    return np.concatenate(points)


def hull_field(bodies: np.ndarray, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Signed distance to each body's convex hull, `[N,h,w]` in torso lengths, negative inside."""
    from scipy.spatial import ConvexHull

    fields = []
    for joints in bodies:
        points = _outline(joints)
        corners = points[ConvexHull(points, qhull_options="QJ").vertices]
        edges = torch.tensor(np.c_[corners, np.roll(corners, -1, axis=0)], dtype=torch.float32)
        outside = segment_distance(edges, x, y).amin(dim=0)
        inside = torch.ones_like(outside, dtype=torch.bool)
        for ax, ay, bx, by in edges.tolist():  # counter-clockwise
            inside &= (bx - ax) * (y[:, None] - ay) - (by - ay) * (x[None, :] - ax) >= 0
        distance = torch.where(inside, -outside, outside)
        fields.append(distance / anatomy.torso_length(joints))
    return torch.stack(fields)


def box_field(bodies: np.ndarray, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Signed distance to each body's upright box, `[N,h,w]` in torso lengths, negative inside."""
    fields = []
    for joints in bodies:
        points = _outline(joints)
        (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
        dx = (x[None, :] - (x0 + x1) / 2).abs() - (x1 - x0) / 2
        dy = (y[:, None] - (y0 + y1) / 2).abs() - (y1 - y0) / 2
        outside = torch.hypot(dx.clamp_min(0), dy.clamp_min(0))
        distance = outside + torch.maximum(dx, dy).clamp_max(0)
        fields.append(distance / anatomy.torso_length(joints))
    return torch.stack(fields)


def column_field(bodies: np.ndarray, x: torch.Tensor, y: torch.Tensor, width: int) -> torch.Tensor:
    """Distance to each body's middle line, `[N,h,w]` in picture widths: columns meet half way."""
    middle = torch.tensor([float(anatomy.torso_centre(joints)[0]) for joints in bodies])
    distance = (x[None, None, :] - middle[:, None, None]).abs() / width
    return distance.expand(-1, len(y), -1)
