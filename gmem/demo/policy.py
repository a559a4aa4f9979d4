"""The team's "language models": three scripted chat models with a fixed skill each, and one that knows the solution.

They know words, verbs and the grammar of commands, and they can read the notes in their system message. They know no
task: whatever they do right beyond trying commands that sound like the task comes out of the notes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from gmem.demo.cases import adapt, plan_from
from gmem.demo.language import (
    FILLER,
    IRREVERSIBLE,
    bindings,
    decide,
    halves,
    head,
    holders,
    likeness,
    mentions,
    names,
    objects,
    rewrite,
    telling,
    telltale,
    words,
)
from gmem.demo.notes import Notes, read_notes
from gmem.demo.reading import Question, Turn
from gmem.demo.team.grammar import AMBIGUOUS, verb, was_refused
from gmem.demo.team.prompts import INSTEAD, PASS, VETO, numbered, read_plan

TO_THE_LETTER = "Plan, to be followed to the letter:"
NO_PLAN = "no plan"
GO_AHEAD = "go ahead"

NEAR_ENOUGH = 0.2
"""Likeness from which the actor takes a command for a step that the world did not take."""
SAFE_ENOUGH = 0.3
"""Likeness to something that worked before from which the critic lets an irreversible command pass."""
ALIKE = 0.5
"""Likeness from which a command is taken for the step itself, whatever other cases did in its place."""
OTHER_CASE = 0.9
"""How much a step of another remembered case counts, compared with the step of the plan."""
MOST_SKIPPED = 1
"""How many steps of a plan may be left out before the critic lets nothing irreversible pass."""
MOST_VETOES = 3
"""After so many vetoes in a row the exploring actor tries another verb."""
TAKEN = 0.3
"""What it costs a candidate to use a thing that already stands in for another one, or that the plan needs itself."""


class Scripted(BaseChatModel):
    """A chat model that answers by a fixed rule instead of a network."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self.answer(Question(messages))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(answer))])

    def answer(self, question: Question) -> str:
        """Answer one question.

        Args:
            question: The messages of the call, as read by a scripted model.
        """
        raise NotImplementedError


class GoldPlanner(Scripted):
    """A planner that knows the solution: it makes the expert team, whose runs become the experience.

    Attributes:
        actions: The commands that solve the task.
    """

    actions: list[str]

    def answer(self, question: Question) -> str:
        """Give the solution once, then nothing."""
        return NO_PLAN if question.own() else f"{TO_THE_LETTER}\n{numbered(self.actions)}"


class Planner(Scripted):
    """Takes the solved case that fits best, rewrites it for the task at hand, and the next one when that is used up."""

    def answer(self, question: Question) -> str:
        """Give the plan of the best case that was not used yet."""
        used = question.own()
        plans = sorted(
            (plan_from(case, question.task) for case in read_notes(question.system).solved),
            key=lambda p: p.misfit,
        )
        if used and not all(plan.foreign for plan in plans):
            plans = [plan for plan in plans if not plan.foreign]  # after other work nothing is left of what was won
        for plan in plans:
            if plan.steps and not any(f"[{plan.case_id}]" in text for text in used):
                return f"Plan after [{plan.case_id}]:\n{numbered(plan.steps)}"
        return NO_PLAN


class Actor(Scripted):
    """Carries out the plan's step, or the command nearest to it; without a plan, the command nearest to the task."""

    def answer(self, question: Question) -> str:
        """Give one command, with the step that it stands in for, or pass."""
        if not question.step:
            return self._explore(question)
        turns = question.turns()
        if turns and turns[-1].observation.startswith(AMBIGUOUS) and not question.step.isdigit():
            return _pick_number(turns[-1])
        if question.plan_text().startswith(TO_THE_LETTER):
            return _pass(question) if question.options else question.step
        goal = self._goal(question, turns)
        tried = _tried_in_vain(turns, question.step)
        if goal not in tried:
            return _worded(goal, question.step)
        return self._nearest(question, turns, goal, tried)

    def _goal(self, question: Question, turns: Sequence[Turn]) -> str:
        """Fit the step to what was found out on the way: what stood in for what, and the task's condition."""
        stand_ins: dict[str, str] = {}
        for turn in turns:
            if turn.step != turn.command and not turn.vetoed and not was_refused(turn.observation):
                stand_ins.update(bindings(turn.step, turn.command))
        stand_ins |= holders(read_plan(question.plan_text()), stand_ins, question.observations())
        goal = rewrite(question.step, stand_ins)
        decision = decide(question.task, question.observations())
        if decision:
            follow, leave = decision
            goal = rewrite(goal, bindings(leave, follow))
        return goal

    def _nearest(self, question: Question, turns: Sequence[Turn], goal: str, tried: set[str]) -> str:
        """Choose the untried command of the same verb that is most like the step, or like its twin in other cases."""
        candidates = [option for option in question.options if option not in tried and verb(option) == verb(goal)]
        if verb(goal) == "go to":
            candidates = [c for c in question.options if verb(c) == "teleport to" and c not in tried]
        if not candidates:
            return _pass(question)
        thing, aim = halves(goal)
        there = [c for c in candidates if aim and telltale(aim) <= telltale(halves(c)[1])]
        likewise = [] if there else [c for c in candidates if aim and telltale(halves(c)[0]) == telltale(thing)]
        if likewise:  # the thing is here, and something must be found to bring it to
            return self._best(question, turns, goal, likewise, lambda command: halves(command)[1])
        return self._best(question, turns, goal, there or candidates, objects)

    def _best(
        self, question: Question, turns: Sequence[Turn], goal: str, candidates: list[str], part: Callable[[str], str]
    ) -> str:
        """Choose the candidate that is most like the step in a part of the command, or pass when none comes near."""
        weight = telling([part(c) for c in candidates], question.task)
        taken = _taken(turns)
        plan = " | ".join(" ".join(words(step)) for step in read_plan(question.plan_text()) if step != question.step)

        def score(candidate: str, meant: Sequence[tuple[str, float]]) -> float:
            seen = _described(part(candidate), question.scene)
            near = max(share * likeness(part(m), seen, weight) for m, share in meant)
            new = {phrase for phrase in bindings(goal, candidate).values() if phrase not in goal}
            spoken_for = taken & new or any(names(plan, phrase) for phrase in new)
            return near - (TAKEN if spoken_for else 0.0)

        itself = [(goal, 1.0)]
        kind = verb(goal)
        fuller = [f"{kind} {m}" for m in sorted(mentions(objects(goal), read_plan(question.plan_text())))]
        best = max(candidates, key=lambda c: score(c, itself))
        if likeness(part(goal), part(best)) >= ALIKE:
            return _worded(best, question.step)
        either = itself + [(other, OTHER_CASE) for other in (*fuller, *_twins(question))]
        best = max(candidates, key=lambda c: score(c, either))
        return _worded(best, question.step) if score(best, either) >= NEAR_ENOUGH else _pass(question)

    def _explore(self, question: Question) -> str:
        """Choose the untried command that shares most with the words of the task."""
        turns = question.turns()
        tried = {turn.command for turn in turns}
        last = turns[-MOST_VETOES:]
        vetoed = len(last) == MOST_VETOES and all(turn.vetoed for turn in last)
        refused = {verb(turn.command) for turn in last} if vetoed else set()
        task = set(words(question.task))
        fresh = [option for option in question.options if option not in tried and verb(option) not in refused]
        return max(fresh, key=lambda o: len(set(words(o)) & task) / len(words(o)), default=_pass(question))


class Critic(Scripted):
    """Holds back what cannot be taken back unless something like it worked before, and what has just failed."""

    def answer(self, question: Question) -> str:
        """Give a verdict on the proposed command."""
        turns = question.turns(actor_is_self=False)[:-1]
        command = _meant(question.options[0], turns)
        if turns and turns[-1].command == command and was_refused(turns[-1].observation):
            return f"{VETO}: that has just changed nothing"
        if verb(command) not in IRREVERSIBLE or question.plan_text().startswith(TO_THE_LETTER):
            return GO_AHEAD
        done = _done_for_good(question)
        if telltale(objects(command)) in done:
            return f"{VETO}: it cannot be taken back, and it was done already"
        if _skipped(question, done) > MOST_SKIPPED:
            return f"{VETO}: it cannot be taken back, and what should come before it was not done"
        if self._doubt(question, read_notes(question.system), command):
            return f"{VETO}: it cannot be taken back, and nothing like it worked before"
        return GO_AHEAD

    def _doubt(self, question: Question, notes: Notes, command: str) -> bool:
        """Say whether an irreversible command is too far from those that worked before.

        Who has seen nothing work goes by the task: only what it names may be touched.
        """
        if not notes.solved:
            named = set(words(objects(command))) - FILLER
            return not named or not named <= set(words(question.task))
        seen = _described(objects(command), question.scene)
        task = set(words(question.task))
        if not (set(words(objects(question.step))) - FILLER) & task <= set(words(seen)):
            return True
        plans = [adapt(case, question.task) for case in notes.solved]
        worked = [step for steps in plans for step in steps if verb(step) == verb(command)]
        known = {m for steps in plans for step in steps if step in worked for m in mentions(objects(step), steps)}
        if head(seen) in {head(name) for name in known}:
            return False
        return max((likeness(objects(step), seen) for step in worked), default=0.0) < SAFE_ENOUGH


def _worded(command: str, step: str) -> str:
    """Word an actor's line."""
    return command if command == step else f"{command}{INSTEAD}{step})"


def _pass(question: Question) -> str:
    return f"{PASS}: {question.step}"


def _choices(observation: str) -> dict[str, str]:
    """Read the world's question which of several things was meant: number and command of each choice."""
    lines = (line.split(":\t", 1) for line in observation.splitlines() if ":\t" in line)
    return {number.strip(): command.strip() for number, command in lines}


def _pick_number(turn: Turn) -> str:
    """Answer the world's question which of several things was meant."""
    choices = _choices(turn.observation)
    best = max(choices, key=lambda number: likeness(turn.command, choices[number]), default="0")
    return f"{best}{INSTEAD}{turn.step})"


def _meant(command: str, turns: Sequence[Turn]) -> str:
    """Return the command behind a number that answers the world's question."""
    return _choices(turns[-1].observation).get(command, command) if turns else command


def _done_for_good(question: Question) -> set[frozenset[str]]:
    """Return the things to which something was done in this game that cannot be taken back."""
    turns = question.turns(actor_is_self=False, whole=True)[:-1]
    meant = [(_meant(turn.command, turns[:at]), turn) for at, turn in enumerate(turns)]
    return {
        telltale(objects(command)) for command, turn in meant if verb(command) in IRREVERSIBLE and _carried_out(turn)
    }


def _carried_out(turn: Turn) -> bool:
    return not (turn.vetoed or was_refused(turn.observation) or turn.observation.startswith(AMBIGUOUS))


def _skipped(question: Question, done: set[frozenset[str]]) -> int:
    """Count the steps of the plan in force that were passed over, each that matters most as too many."""
    passed = [
        step for step in question.skipped() if verb(step) not in IRREVERSIBLE or telltale(objects(step)) not in done
    ]
    return len(passed) + MOST_SKIPPED * sum(verb(step) in IRREVERSIBLE for step in passed)


def _twins(question: Question) -> list[str]:
    """Return the steps which, in the remembered cases, are the same use of the same verb as the step asked for."""
    plan = read_plan(question.plan_text())
    kind = verb(question.step)
    use = sum(verb(step) == kind for step in plan[: question.number - 1])
    out = []
    for case in read_notes(question.system).solved:
        for steps in (adapt(case, question.task), [step.action for step in case.steps]):
            same = [step for step in steps if verb(step) == kind]
            if use < len(same):
                out.append(same[use])
    return out


def _taken(turns: Sequence[Turn]) -> set[str]:
    """Return the phrases that already stand in for others."""
    done = [turn for turn in turns if turn.step != turn.command and not was_refused(turn.observation)]
    return {phrase for turn in done for phrase in bindings(turn.step, turn.command).values()}


def _tried_in_vain(turns: Sequence[Turn], step: str) -> set[str]:
    """Return what was tried for the step at hand since the last command that the world took."""
    out: set[str] = set()
    for turn in reversed(turns):
        if turn.step != step or not (turn.vetoed or was_refused(turn.observation)):
            break
        out.add(turn.command)
    return out


def _described(thing: str, scene: str) -> str:
    """Add to the name of a thing the words with which the scene names it."""
    own = set(words(thing))
    for line in scene.splitlines():
        if own and own <= set(words(line)) and len(words(line)) <= len(own) + 3:
            return f"{thing} {line.strip()}"
    return thing
