"""The program: a terminal app and its headless twin over the ternary engine and the parity library."""


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # On request: reading package metadata takes a third of the time of `bitnet-tui --help`.
    from importlib.metadata import version

    return version("bitnet-tui")
