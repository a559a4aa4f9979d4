"""The demo: a LangGraph team of scripted agents plays ScienceWorld, without memory and then with gmem."""
