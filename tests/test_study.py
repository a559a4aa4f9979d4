"""What one run changes in a memory that knows more than the run's neighbours tell."""

from __future__ import annotations

from stories import kitchen, play

import gmem


def test_a_lesson_that_far_runs_taught_before_is_not_new(words: gmem.Memory) -> None:
    kitchen(words)
    before = {insight.id: insight.version for insight in words.insights()}
    assert before
    far = "Prepare fresh {0} while nobody watches"
    for thing in ("rice", "corn", "oats", "rye"):
        play(words, thing, ("take {0} from shelf", "put {0} in pot"), resolved=False, query=far)
    for thing in ("wheat", "millet", "barley", "spelt", "maize", "teff"):
        task = play(words, thing, query=far)
        assert task.learned
    assert words.stats().unlearned == 0
    assert words.learn() == 0
    taught = {insight.id: insight for insight in words.insights()}
    assert set(before) <= set(taught)
    far_tasks = {task.id for task in words.tasks() if task.query.startswith("Prepare")}
    shared = [id for id in before if far_tasks & {e.task_id for e in words.store.evidence("blue", insight_id=id)}]
    assert shared, "the far runs taught none of the lessons again, so this tests nothing"
    for id in shared:
        counted = words.store.standing("blue", id)
        evidence = words.store.evidence("blue", insight_id=id)
        assert counted.supports + counted.contradicts == len(evidence)
