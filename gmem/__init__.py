"""Graph memory for teams of agents."""
