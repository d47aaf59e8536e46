"""The templates in configs/, with @NAMES@ for what changes."""

import os
import re

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "configs")


def fill(text, values):
    """Puts values in place of names. A name without a value is an error."""
    return re.sub(r"@([A-Z]+)@", lambda name: str(values[name[1]]), text)


def write(template, directory, values):
    """Writes a filled template into a directory, under its own name."""
    with open(os.path.join(TEMPLATES, template)) as file:
        text = fill(file.read(), values)
    with open(os.path.join(directory, template), "w") as file:
        file.write(text)
