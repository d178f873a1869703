"""A nuScenes map expansion (1.3) from lane centre lines."""

import hashlib
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

LOCATIONS = ("singapore-onenorth", "singapore-hollandvillage", "singapore-queenstown", "boston-seaport")
_LAYERS = (
    *(
        "polygon",
        "line",
        "node",
        "drivable_area",
        "road_segment",
        "road_block",
        "lane",
        "ped_crossing",
        "walkway",
    ),
    *("stop_line", "carpark_area", "road_divider", "lane_divider", "traffic_light", "lane_connector"),
)
_HALF_WIDTH_M = 3.0  # lane and shoulder


def map_table(lanes: list[Float[Array, "_ 2"]], edge_m: Float[Array, " 2"]) -> dict[str, Any]:
    """Drivable area and lanes along the centre lines, on a canvas of `edge_m`.

    A lane's centre line is a chain of straight pieces. Coordinates must not be negative.
    """
    table: dict[str, Any] = {name: [] for name in _LAYERS}
    table |= {
        "version": "1.3",
        "canvas_edge": [float(np.ceil(edge)) for edge in edge_m],
        "arcline_path_3": {},
        "connectivity": {},
    }
    polygons = [_add_lane(table, number, lane) for number, lane in enumerate(lanes)]
    table["drivable_area"].append({"token": _token("drivable"), "polygon_tokens": polygons})
    return table


def _add_lane(table: dict[str, Any], number: int, lane: Float[Array, "points 2"]) -> str:
    """The rows of one lane; returns its polygon's token."""
    name, polygon = _token("lane", number), _token("polygon", number)
    step = np.diff(lane, axis=0)
    length = np.linalg.norm(step, axis=1)
    yaw = np.arctan2(step[:, 1], step[:, 0])
    ends = np.append(yaw, yaw[-1])
    left = np.stack([-np.sin(ends), np.cos(ends)], axis=1) * _HALF_WIDTH_M
    outline = np.concatenate([lane + left, (lane - left)[::-1]])
    nodes = [_token("node", number, k) for k in range(len(outline))]
    table["node"] += [
        {"token": node, "x": float(max(x, 0.0)), "y": float(max(y, 0.0))}
        for node, (x, y) in zip(nodes, outline, strict=True)
    ]
    table["polygon"].append({"token": polygon, "exterior_node_tokens": nodes, "holes": []})
    half = len(lane)
    edges = {"from": [nodes[0], nodes[-1]], "to": [nodes[half - 1], nodes[half]]}
    for side, pair in edges.items():
        table["line"].append({"token": _token("line", number, side), "node_tokens": pair})
    table["lane"].append(
        {
            "token": name,
            "polygon_token": polygon,
            "lane_type": "CAR",
            "from_edge_line_token": _token("line", number, "from"),
            "to_edge_line_token": _token("line", number, "to"),
            "left_lane_divider_segments": [],
            "right_lane_divider_segments": [],
        }
    )
    table["arcline_path_3"][name] = [
        {
            "start_pose": [*lane[k].tolist(), float(yaw[k])],
            "end_pose": [*lane[k + 1].tolist(), float(yaw[k])],
            "shape": "LSR",
            "radius": 999.999,
            "segment_length": [0.0, float(length[k]), 0.0],
        }
        for k in range(len(step))
    ]
    table["connectivity"][name] = {"incoming": [], "outgoing": []}
    return polygon


def _token(*parts: object) -> str:
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).hexdigest()
