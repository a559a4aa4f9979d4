"""A team of three in a text world, as a plain program: once on LangGraph, once on AutoGen.

    planner -> actor -> critic -> environment -> actor -> ... -> planner (when a plan is used up) -> ... -> end

The planner plans, the actor acts, the critic may say no, the world answers.  Nothing here knows of a memory.
The modules import one another by relative names, so that the folder can be taken elsewhere as it is.
"""
