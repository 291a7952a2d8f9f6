"""Renders a page from a template, in the design that all pages share (`base.html`).

Everything that comes from data is escaped, control characters are shown, absolute paths are no more
than their last name; nothing is loaded from a network, and there is no script but the one that
sorts and filters tables.
"""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from toolkit_common.printable import placeless, printable


def render(package: str, template: str, **values: Any) -> str:
    """Return a page.

    Args:
        package: Package whose folder of that room holds the template, as `toolkit_probing.reports`.
        template: Its file, which extends `base.html`.
        **values: What it shows.
    """
    name, _, folder = package.partition(".")
    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader(name, folder.replace(".", "/")),
                PackageLoader("toolkit_common", "pages"),
            ]
        ),
        autoescape=True,
        undefined=StrictUndefined,  # a name that is misspelt in the page is an error, not a blank
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def _shown(value: Any) -> Any:
    """Show control characters, of absolute paths the last name, and nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, Markup) or hasattr(value, "__html__"):
        return value
    # A page goes where its reader sends it: it tells nobody who works where on this machine.
    return printable(placeless(str(value)))
