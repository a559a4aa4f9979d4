"""The demo: a LangGraph team of scripted agents plays ScienceWorld, first without memory and then with gmem."""
