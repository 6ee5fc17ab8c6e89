"""From the command that compiled a part of the host to the command that compiles it for a patch.

``c_options`` and ``rust_options`` are tables of what a patch changes about compilers' options; ``c_command`` and
``rust_command`` walk them. ``units`` is what a build compiled and from what, ``selection`` which of them are
the host's and have to be compiled again, and ``recompile`` does it.
"""
