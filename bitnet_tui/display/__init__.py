"""Events and reports as plain text."""
