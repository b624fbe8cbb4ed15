"""What the tests of the documentation share: the commands there are, and the options each says it has."""

import functools
import re

from support.helpers import run_command

COMMANDS = (
    # Before the command that they begin with.
    *("edgehar models swap", "edgehar models rollback", "edgehar models status"),
    *("edgehar-run", "edgehar-train", "edgehar-convert", "edgehar bench", "edgehar demo", "edgehar inspect"),
    *("edgehar bundle unpack", "edgehar bundle add-edgetpu"),
    *("edgehar run", "edgehar train", "edgehar convert"),
    *("edgehar devices", "edgehar doctor", "edgehar explain", "edgehar history", "edgehar models", "edgehar predict"),
    *("edgehar fleet list", "edgehar fleet watch", "edgehar fleet push"),
    *("edgehar fleet rollback", "edgehar fleet page", "edgehar fleet config"),
    *("edgehar batch", "edgehar teach", "edgehar label", "edgehar sign"),
    *("edgehar trust add", "edgehar trust list", "edgehar trust remove"),
    *(
        "edgehar data check",
        "edgehar data list",
        "edgehar data preview",
        "edgehar data import-inbox",
        "edgehar eval",
        "edgehar compare",
    ),
    *("edgehar operate", "edgehar fuse", "edgehar sweep"),
    *("edgehar service install", "edgehar service uninstall", "edgehar service status"),
    *("edgehar clips list", "edgehar clips verify", "edgehar clips export", "edgehar clips prune"),
    *("edgehar seal keygen", "edgehar seal open", "edgehar notify test", "edgehar web password"),
    *("edgehar config init", "edgehar config check", "edgehar config show"),
)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


@functools.cache
def options_of(command):
    """The options in the usage line of a command, which comes before the first empty line of its help."""
    usage = run_command(*command.split(), "--help").stdout.partition("\n\n")[0]
    return {"--help", *OPTION.findall(usage)}
