"""Where the files that ship beside the code are: in a source checkout, or inside the installed package.

    resource_dir("themes")   ->  .../themes                    in a checkout
                             ->  .../bitnet_tui/_data/themes   in an installed wheel

Knows nothing of what the folders hold, and does not promise that they exist.
"""

from pathlib import Path
from typing import Literal

Resource = Literal["themes", "eval", "samples", "demo"]

_PACKAGE = Path(__file__).resolve().parent.parent
_IN_CHECKOUT: dict[Resource, str] = {
    "themes": "themes",
    "eval": "samples/eval",
    "samples": "samples",
    "demo": "samples/demo",
}


def resource_dir(name: Resource) -> Path:
    """Return the folder of `name`; the installed place when there is no checkout around the package."""
    checkout = _PACKAGE.parent
    # The project file tells a checkout from a site-packages that happens to hold a folder "samples".
    if (checkout / "pyproject.toml").is_file() and (checkout / _IN_CHECKOUT[name]).is_dir():
        return checkout / _IN_CHECKOUT[name]
    return _PACKAGE / "_data" / name
