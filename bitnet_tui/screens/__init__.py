"""The screens, one a file. Textual only: what they show comes from the view-models of `core`."""
