"""The nouns of the program: settings, plan, events, ids. Imports pydantic and the standard library only."""
