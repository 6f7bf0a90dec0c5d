"""The machine and the model, in rooms; a room imports only from the floors below it (`[tool.importlinter]` in pyproject.toml)."""
