"""What the program knows apart from any terminal: events, jobs, runs, view-models. No textual, no jax."""
