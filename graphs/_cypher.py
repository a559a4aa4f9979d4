"""Every Cypher statement that gmem sends, as constants: nothing is ever put into one but by parameter.

All of them mean the same in Cypher 5 and in Cypher 25.  The team is part of every match, so that an
edge between two teams, whoever planted it, leads nowhere.  What is found by unique names alone needs
no new plan when the graph grows, so those statements say `replan=skip`: planning takes longer than they do.
"""

from __future__ import annotations

__all__ = [
    "ADD_BYTES",
    "APPLIED",
    "AWAIT",
    "CASES",
    "CHANGES",
    "CHECK_EDGES",
    "CHECK_NODES",
    "CHECK_TIES",
    "CHECK_TRACES",
    "CREATE_META",
    "DROP_VECTORS",
    "FOREIGN",
    "FORGET_EVIDENCE",
    "FORGET_INSIGHTS",
    "FORGET_LINKS",
    "FORGET_RECALLS",
    "FORGET_TASKS",
    "HEAD",
    "INDEXES",
    "LOCK",
    "META",
    "POSITION",
    "PUT",
    "PUT_VECTORS",
    "SCHEMA",
    "SET_EMBEDDER",
    "SET_FORMAT",
    "SIZE",
    "TASKS",
    "TEAMS",
    "VECTORS_WITHOUT_BYTES",
    "VERSION",
    "WRITES",
]

# --- opening ----------------------------------------------------------------------------------

VERSION = "CALL dbms.components() YIELD name, versions WHERE name = 'Neo4j Kernel' RETURN versions[0] AS version"

SCHEMA = {
    "gmem_task": "CREATE CONSTRAINT gmem_task IF NOT EXISTS FOR (t:Task) REQUIRE t.uid IS UNIQUE",
    "gmem_utterance": "CREATE CONSTRAINT gmem_utterance IF NOT EXISTS FOR (u:Utterance) REQUIRE u.uid IS UNIQUE",
    "gmem_insight": "CREATE CONSTRAINT gmem_insight IF NOT EXISTS FOR (i:Insight) REQUIRE i.uid IS UNIQUE",
    "gmem_link": "CREATE CONSTRAINT gmem_link IF NOT EXISTS FOR (l:InsightLink) REQUIRE l.uid IS UNIQUE",
    "gmem_recall": "CREATE CONSTRAINT gmem_recall IF NOT EXISTS FOR (r:Recall) REQUIRE r.uid IS UNIQUE",
    "gmem_team": "CREATE CONSTRAINT gmem_team IF NOT EXISTS FOR (t:GmemTeam) REQUIRE t.uid IS UNIQUE",
    "gmem_write": "CREATE CONSTRAINT gmem_write IF NOT EXISTS FOR (w:GmemWrite) REQUIRE w.uid IS UNIQUE",
    "gmem_meta": "CREATE CONSTRAINT gmem_meta IF NOT EXISTS FOR (m:GmemMeta) REQUIRE m.key IS UNIQUE",
    "gmem_task_log": "CREATE INDEX gmem_task_log IF NOT EXISTS FOR (t:Task) ON (t.team, t.written)",
    "gmem_insight_log": "CREATE INDEX gmem_insight_log IF NOT EXISTS FOR (i:Insight) ON (i.team, i.written)",
    "gmem_link_log": "CREATE INDEX gmem_link_log IF NOT EXISTS FOR (l:InsightLink) ON (l.team, l.written)",
    "gmem_recall_log": "CREATE INDEX gmem_recall_log IF NOT EXISTS FOR (r:Recall) ON (r.team, r.written)",
    "gmem_similar_log": "CREATE INDEX gmem_similar_log IF NOT EXISTS FOR ()-[r:SIMILAR]-() ON (r.team, r.written)",
    "gmem_supports_log": "CREATE INDEX gmem_supports_log IF NOT EXISTS FOR ()-[r:SUPPORTS]-() ON (r.team, r.written)",
    "gmem_contradicts_log": (
        "CREATE INDEX gmem_contradicts_log IF NOT EXISTS FOR ()-[r:CONTRADICTS]-() ON (r.team, r.written)"
    ),
}
"""Constraints and indexes by name, in the order in which they are made; one after the other."""

INDEXES = """
SHOW INDEXES YIELD name, state, type, labelsOrTypes, properties, owningConstraint
RETURN name, state, type, labelsOrTypes AS labels, properties, owningConstraint AS constraint
"""

AWAIT = "CALL db.awaitIndexes($seconds)"

META = "MATCH (m:GmemMeta {key: 'store'}) RETURN m.format AS format"

FOREIGN = """
OPTIONAL MATCH (n:Task|Utterance|Insight|InsightLink|Recall|GmemTeam|GmemWrite|GmemMeta)
WITH n LIMIT 1
RETURN labels(n) AS labels
"""

CREATE_META = """
MERGE (m:GmemMeta {key: 'store'})
ON CREATE SET m.format = $format, m.seq = 0, m.number = 0, m.what = 'the memory of gmem: do not edit'
RETURN m.format AS format
"""

# --- reading ----------------------------------------------------------------------------------

HEAD = """
CYPHER replan=skip
MATCH (m:GmemMeta {key: 'store'})
OPTIONAL MATCH (t:GmemTeam {uid: $team_uid})
RETURN m.format AS format, m.embedder AS embedder, m.dimension AS dimension, t.seq AS seq, t.epoch AS epoch
"""

# Few big rows of flat lists: the driver takes longer for a row, and for a list in it, than for what they hold.
CHANGES = """
CYPHER replan=skip
UNWIND range($since + 1, $head, $step) AS first
WITH first, CASE WHEN first + $step > $head THEN 9223372036854775807 ELSE first + $step END AS until
CALL (first, until) {
  MATCH (t:Task) USING INDEX t:Task(team, written)
  WHERE t.team = $team AND t.written >= first AND t.written < until
  RETURN [
    collect(t.number), collect(t.id), collect(t.query), collect(t.outcome), collect(t.learned), collect(t.trust),
    collect(t.length), collect(t.source), collect(any(score IN coalesce(t.blamed_scores, []) WHERE score >= 1.0)),
    collect(coalesce(t.deeds, '')), collect(coalesce(t.vector, t.embedding, false))
  ] AS tasks, max(t.written) AS tasks_last
}
CALL (first, until) {
  MATCH (i:Insight) USING INDEX i:Insight(team, written)
  WHERE i.team = $team AND i.written >= first AND i.written < until
  RETURN collect(properties(i)) AS insights, max(i.written) AS insights_last
}
CALL (first, until) {
  MATCH (a:Task)-[r:SIMILAR]->(b:Task) USING INDEX r:SIMILAR(team, written)
  WHERE r.team = $team AND r.written >= first AND r.written < until AND a.team = $team AND b.team = $team
  RETURN [collect(a.id), collect(b.id), collect(r.score)] AS similar, max(r.written) AS similar_last
}
CALL (first, until) {
  MATCH (t:Task)-[r:SUPPORTS]->(i:Insight) USING INDEX r:SUPPORTS(team, written)
  WHERE r.team = $team AND r.written >= first AND r.written < until AND t.team = $team AND i.team = $team
  RETURN [collect(t.id), collect(i.id), collect(r.followed), collect(r.resolved)] AS supports,
         max(r.written) AS supports_last
}
CALL (first, until) {
  MATCH (t:Task)-[r:CONTRADICTS]->(i:Insight) USING INDEX r:CONTRADICTS(team, written)
  WHERE r.team = $team AND r.written >= first AND r.written < until AND t.team = $team AND i.team = $team
  RETURN [collect(t.id), collect(i.id), collect(r.followed), collect(r.resolved)] AS contradicts,
         max(r.written) AS contradicts_last
}
CALL (first, until) {
  MATCH (l:InsightLink) USING INDEX l:InsightLink(team, written)
  WHERE l.team = $team AND l.written >= first AND l.written < until
  RETURN [collect(l.source), collect(l.target), collect(l.via)] AS links, max(l.written) AS links_last
}
CALL (first, until) {
  MATCH (r:Recall) USING INDEX r:Recall(team, written)
  WHERE r.team = $team AND r.written >= first AND r.written < until
  RETURN collect(properties(r)) AS recalls, max(r.written) AS recalls_last
}
RETURN tasks, insights, similar, supports, contradicts, links, recalls,
       [tasks_last, insights_last, similar_last, supports_last, contradicts_last, links_last, recalls_last] AS lasts
"""
"""What of a team was written last by one of the writes after `since`; a row for each `step` writes up to `head`.

The last row holds what is newer than `head` as well: an index may find part of a write whose number is not shown yet.
"""

TASKS = """
CYPHER replan=skip
UNWIND $uids AS uid
MATCH (t:Task {uid: uid}) WHERE t.team = $team
RETURN t {.*, vector: null, embedding: null} AS task
"""

CASES = """
CYPHER replan=skip
UNWIND $uids AS uid
MATCH (t:Task {uid: uid}) WHERE t.team = $team
RETURN t {.*, vector: null, embedding: null} AS task,
       COLLECT { MATCH (t)-[:HAS]->(u:Utterance) WHERE u.team = $team RETURN properties(u) ORDER BY u.seq } AS said
"""

WRITES = "MATCH (w:GmemWrite) RETURN w.uid AS uid ORDER BY w.seq, w.uid"

POSITION = "MATCH (m:GmemMeta {key: 'store'}) RETURN m.seq AS seq"

SET_FORMAT = "MATCH (m:GmemMeta {key: 'store'}) SET m.format = $format RETURN m.seq AS seq"

APPLIED = "UNWIND $uids AS uid MATCH (w:GmemWrite {uid: uid}) RETURN w.uid AS uid"

# What was written at all has a number; asking for it lets the index of changes answer.
TEAMS = """
MATCH (t:GmemTeam)
WHERE EXISTS { MATCH (n:Task) WHERE n.team = t.team AND n.written >= 0 }
   OR EXISTS { MATCH (n:Insight) WHERE n.team = t.team AND n.written >= 0 }
RETURN t.team AS team
"""

SIZE = """
CALL () { MATCH (n) RETURN count(n) AS nodes }
CALL () { MATCH ()-[r]->() RETURN count(r) AS edges }
RETURN nodes, edges
"""

# --- writing ----------------------------------------------------------------------------------

# The first SET takes the lock that all writers share; what is read after it is what the last one left.
LOCK = """
CYPHER replan=skip
MATCH (m:GmemMeta {key: 'store'})
SET m.writer = $by
WITH m
CALL () { UNWIND $ops AS uid MATCH (w:GmemWrite {uid: uid}) RETURN collect([w.uid, w.by]) AS done }
CALL () { UNWIND $team_uids AS uid MATCH (t:GmemTeam {uid: uid}) RETURN collect([t.uid, t.seq, t.epoch]) AS heads }
RETURN m.format AS format, m.seq AS seq, m.number AS number, m.embedder AS embedder, m.dimension AS dimension,
       done, heads
"""

FORGET_TASKS = """
CYPHER replan=skip
UNWIND $uids AS uid
MATCH (t:Task {uid: uid})
CALL (t) {
  OPTIONAL MATCH (t)-[:HAS]->(u:Utterance) WHERE u.team = t.team
  DETACH DELETE u
}
DETACH DELETE t
"""

FORGET_EVIDENCE = """
CYPHER replan=skip
UNWIND $uids AS ends
MATCH (t:Task {uid: ends[0]})
MATCH (i:Insight {uid: ends[1]})
MATCH (t)-[r:SUPPORTS|CONTRADICTS]->(i)
DELETE r
"""

FORGET_INSIGHTS = "UNWIND $uids AS uid MATCH (n:Insight {uid: uid}) DETACH DELETE n"

FORGET_LINKS = "UNWIND $uids AS uid MATCH (n:InsightLink {uid: uid}) DETACH DELETE n"

FORGET_RECALLS = "UNWIND $uids AS uid MATCH (n:Recall {uid: uid}) DETACH DELETE n"

# All of a write in one statement, so that it is one round trip; lists that are empty cost next to nothing.
# Nodes come before edges, and what is written counts itself, so that a missing end is noticed.
PUT = """
CYPHER replan=skip
CALL () {
  UNWIND $tasks AS row
  MERGE (t:Task {uid: row.uid})
  SET t += row.values
  RETURN count(t) AS tasks
}
CALL () {
  UNWIND $vectors AS row
  MATCH (t:Task {uid: row.uid}) WHERE t.team = row.team
  SET t.vector = row.vector, t.embedding = [x IN split(row.embedding, ' ') | toFloat(x)], t.written = $seq
  RETURN count(t) AS vectors
}
CALL () {
  UNWIND $traces AS row
  MATCH (t:Task {uid: row.uid}) WHERE t.team = row.team
  CALL (t) {
    OPTIONAL MATCH (t)-[:HAS]->(old:Utterance)
    DETACH DELETE old
  }
  CALL (t, row) {
    UNWIND range(0, size(row.content) - 1) AS i
    CREATE (t)-[:HAS]->(u:Utterance {
      uid: substring(row.uids, 64 * i, 64), team: row.team, task: row.task, seq: i,
      agent: row.agent[i], role: row.role[i], kind: row.kind[i], content: row.content[i], to: row.to[i],
      inspired_by: row.inspired_by[i], reward: row.reward[i], time: row.time[i], echo: row.echo[i]
    })
    RETURN collect(u) AS said
  }
  CALL (said) {
    UNWIND range(1, size(said) - 1) AS i
    WITH said[i - 1] AS a, said[i] AS b
    CREATE (a)-[:NEXT]->(b)
  }
  CALL (said, row) {
    UNWIND range(0, size(row.content) - 1) AS i
    UNWIND row.inspired_by[i] AS up
    WITH DISTINCT said[up] AS a, said[i] AS b
    CREATE (a)-[:INSPIRED]->(b)
  }
  RETURN count(t) AS traces
}
CALL () {
  UNWIND $insights AS row
  MERGE (i:Insight {uid: row.uid})
  SET i += row.values
  RETURN count(i) AS insights
}
CALL () {
  UNWIND $similar AS row
  MATCH (a:Task {uid: row[1]}) WHERE a.team = row[0]
  MATCH (b:Task {uid: row[2]}) WHERE b.team = row[0]
  MERGE (a)-[r:SIMILAR]->(b)
  SET r.score = row[3], r.team = row[0], r.written = $seq
  RETURN count(r) AS similar
}
CALL () {
  UNWIND $supports AS row
  MATCH (t:Task {uid: row.a}) WHERE t.team = row.team
  MATCH (i:Insight {uid: row.b}) WHERE i.team = row.team
  CALL (t, i) {
    OPTIONAL MATCH (t)-[old:CONTRADICTS]->(i)
    DELETE old
  }
  MERGE (t)-[r:SUPPORTS]->(i)
  SET r.followed = row.followed, r.resolved = row.resolved, r.team = row.team, r.written = $seq
  RETURN count(r) AS supports
}
CALL () {
  UNWIND $contradicts AS row
  MATCH (t:Task {uid: row.a}) WHERE t.team = row.team
  MATCH (i:Insight {uid: row.b}) WHERE i.team = row.team
  CALL (t, i) {
    OPTIONAL MATCH (t)-[old:SUPPORTS]->(i)
    DELETE old
  }
  MERGE (t)-[r:CONTRADICTS]->(i)
  SET r.followed = row.followed, r.resolved = row.resolved, r.team = row.team, r.written = $seq
  RETURN count(r) AS contradicts
}
CALL () {
  UNWIND $links AS row
  MATCH (a:Insight {uid: row.a}) WHERE a.team = row.team
  MATCH (b:Insight {uid: row.b}) WHERE b.team = row.team
  MATCH (t:Task {uid: row.via}) WHERE t.team = row.team
  MERGE (l:InsightLink {uid: row.uid})
  SET l += row.values
  MERGE (a)-[:IN_USE]->(l)
  MERGE (l)-[:TAUGHT]->(b)
  MERGE (l)-[:VIA]->(t)
  RETURN count(l) AS links
}
CALL () {
  UNWIND $recalls AS row
  MATCH (t:Task {uid: row.task}) WHERE t.team = row.team
  MERGE (r:Recall {uid: row.uid})
  SET r += row.values
  WITH t, r, row
  CALL (r) {
    OPTIONAL MATCH (r)-[old:RECALLED|SHOWN|WITHHELD]-()
    DELETE old
  }
  CREATE (t)-[:RECALLED]->(r)
  WITH r, row
  CALL (r, row) {
    UNWIND row.shown AS item
    MATCH (n:Insight {uid: item.insight}) WHERE n.team = row.team
    MERGE (r)-[:SHOWN]->(n)
  }
  CALL (r, row) {
    UNWIND row.shown AS item
    MATCH (n:Task {uid: item.task}) WHERE n.team = row.team
    MERGE (r)-[:SHOWN]->(n)
  }
  CALL (r, row) {
    UNWIND row.withheld AS item
    MATCH (n:Insight {uid: item.insight}) WHERE n.team = row.team
    MERGE (r)-[:WITHHELD]->(n)
  }
  CALL (r, row) {
    UNWIND row.withheld AS item
    MATCH (n:Task {uid: item.task}) WHERE n.team = row.team
    MERGE (r)-[:WITHHELD]->(n)
  }
  RETURN count(r) AS recalls
}
CALL () {
  UNWIND $teams AS row
  MERGE (t:GmemTeam {uid: row.uid})
  ON CREATE SET t.team = row.team, t.epoch = $seq
  SET t.seq = $seq, t.epoch = CASE WHEN row.forgets THEN $seq ELSE t.epoch END
  RETURN count(t) AS teams
}
CALL () {
  UNWIND $ops AS uid
  CREATE (w:GmemWrite {uid: uid, seq: $seq, by: $by})
  RETURN count(w) AS ops
}
CALL () {
  MATCH (m:GmemMeta {key: 'store'})
  SET m.seq = $seq, m.number = $number
}
RETURN tasks, vectors, traces, insights, similar, supports, contradicts, links, recalls, teams, ops
"""

# Only the vectors, when the embedding model changes.
PUT_VECTORS = """
UNWIND $rows AS row
MATCH (t:Task {uid: row.uid}) WHERE t.team = row.team
SET t.vector = row.vector, t.embedding = [x IN split(row.embedding, ' ') | toFloat(x)], t.written = row.written
RETURN count(t) AS count
"""

DROP_VECTORS = """
MATCH (t:Task) WHERE t.embedding IS NOT NULL OR t.vector IS NOT NULL
REMOVE t.embedding, t.vector
"""

SET_EMBEDDER = """
MATCH (m:GmemMeta {key: 'store'})
SET m.embedder = $name, m.dimension = $dimension, m.seq = m.seq + 1
WITH m.seq AS seq
OPTIONAL MATCH (t:GmemTeam)
SET t.seq = seq, t.epoch = seq
RETURN DISTINCT seq
"""

# --- older formats ----------------------------------------------------------------------------

VECTORS_WITHOUT_BYTES = """
MATCH (t:Task) WHERE t.vector IS NULL AND t.embedding IS NOT NULL
RETURN t.uid AS uid, t.embedding AS embedding LIMIT $count
"""

ADD_BYTES = "UNWIND $rows AS row MATCH (t:Task {uid: row[0]}) SET t.vector = row[1]"

# --- checking ---------------------------------------------------------------------------------

CHECK_NODES = """
MATCH (n:Task|Utterance|Insight|InsightLink|Recall)
RETURN labels(n) AS labels, n.uid AS uid, n.team AS team, n.id AS id, n.task AS task, n.seq AS seq,
       n.source AS source, n.target AS target, n.via AS via
"""

CHECK_EDGES = """
MATCH (a:Task|Utterance|Insight|InsightLink|Recall)-[r]->(b)
WHERE a.team <> b.team OR b.team IS NULL OR (r.team IS NOT NULL AND r.team <> a.team)
RETURN type(r) AS type, a.team AS a, b.team AS b
"""

CHECK_TRACES = """
MATCH (u:Utterance)
OPTIONAL MATCH (t:Task)-[:HAS]->(u) WHERE t.team = u.team AND t.id = u.task
WITH u.team AS team, u.task AS task, count(t) AS tied, count(u) AS count, max(u.seq) AS last
WHERE tied <> count OR last <> count - 1
RETURN team, task
"""

CHECK_TIES = """
CALL () {
  MATCH (l:InsightLink)
  WHERE NOT EXISTS { MATCH (:Insight {team: l.team, id: l.source})-[:IN_USE]->(l) }
     OR NOT EXISTS { MATCH (l)-[:TAUGHT]->(:Insight {team: l.team, id: l.target}) }
     OR NOT EXISTS { MATCH (l)-[:VIA]->(:Task {team: l.team, id: l.via}) }
  RETURN 'the link' AS what, l.source + ' to ' + l.target AS id, l.team AS team
UNION ALL
  MATCH (r:Recall)
  WHERE NOT EXISTS { MATCH (:Task {team: r.team, id: r.task})-[:RECALLED]->(r) }
  RETURN 'the recall' AS what, r.id AS id, r.team AS team
}
RETURN what, id, team
"""
