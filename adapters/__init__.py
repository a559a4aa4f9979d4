"""Adapters that hook gmem into agent frameworks; importing this imports no framework."""
