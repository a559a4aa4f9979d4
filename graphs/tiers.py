"""The three tiers of a team's memory as networkx graphs, for looking at and for analysis.

Each call builds a copy from the store: changing it changes nothing stored.
"""

from __future__ import annotations

import networkx as nx

from gmem.graphs.base import GraphStore
from gmem.model import Interaction

__all__ = ["insight_graph", "interaction_graph", "query_graph"]


def interaction_graph(interaction: Interaction) -> nx.MultiDiGraph[int]:
    """Give the interaction graph of one task.

    Args:
        interaction: The utterances of the task.

    Returns:
        A node per utterance, named by its number, with `agent`, `role`, `kind`, `content`, `reward`;
        an edge INSPIRED from each upstream utterance, and an edge NEXT from the one before.
    """
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph(task=interaction.task_id)
    for u in interaction.utterances:
        graph.add_node(u.seq, agent=u.agent, role=u.role, kind=u.kind, content=u.content, reward=u.reward)
        for upstream in u.inspired_by:
            graph.add_edge(upstream, u.seq, key="INSPIRED")
        if u.seq:
            graph.add_edge(u.seq - 1, u.seq, key="NEXT")
    return graph


def query_graph(store: GraphStore, team: str) -> nx.Graph[str]:
    """Give the query graph of a team: tasks with `query`, `outcome`, `score`; edges with `score`."""
    graph: nx.Graph[str] = nx.Graph(team=team)
    ids = store.task_ids(team)
    for task in store.tasks(team, ids):
        graph.add_node(task.id, query=task.query, outcome=task.outcome, score=task.score)
    for id in ids:
        for edge in store.neighbours(team, id):
            graph.add_edge(edge.a, edge.b, score=edge.score)
    return graph


def insight_graph(store: GraphStore, team: str) -> nx.MultiDiGraph[str]:
    """Give the insight graph of a team with the tasks that it rests on.

    Returns:
        Nodes with `tier` (`insight` or `query`), `text` and `state` or `outcome`; edges SUPPORTS and
        CONTRADICTS from tasks to insights, and TAUGHT between insights, with `via`, the task.
    """
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(team=team)
    for insight in store.insights(team):
        graph.add_node(insight.id, tier="insight", text=insight.text, state=insight.state, polarity=insight.polarity)
    for evidence in store.evidence(team):
        graph.add_edge(evidence.task_id, evidence.insight_id, key=evidence.type, followed=evidence.followed)
    tasks = [node for node, tier in graph.nodes(data="tier") if tier is None]
    for task in store.tasks(team, tasks):
        graph.add_node(task.id, tier="query", text=task.query, outcome=task.outcome)
    for link in store.links(team):
        graph.add_edge(link.source, link.target, key=f"TAUGHT {link.via}", via=link.via)
    return graph
