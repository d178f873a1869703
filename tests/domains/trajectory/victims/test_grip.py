"""GRIP's graph by hand."""

import torch

from robeval.domains.trajectory.victims.grip import hop_graph


def test_the_graph_counts_hops_and_shares_out_what_is_sent() -> None:
    """In a chain the ends meet over two hops, and each agent's messages sum to 1."""
    place = torch.tensor([[[0.0, 0.0], [8.0, 0.0], [16.0, 0.0]]])
    graph = hop_graph(place, torch.ones(1, 3, dtype=torch.bool), 10.0)[0]
    third = torch.ones(3, 3) / 3
    chain = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    ends = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(graph, torch.stack([torch.eye(3), chain, ends]) * third)


def test_invisible_agents_neither_hear_nor_speak() -> None:
    """An invisible agent in the middle of a chain links nobody."""
    place = torch.tensor([[[0.0, 0.0], [8.0, 0.0], [16.0, 0.0]]])
    graph = hop_graph(place, torch.tensor([[True, False, True]]), 10.0)[0]
    assert graph[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert (graph[1:] == 0).all()
