"""Generations: the patches of one process, one after another, and the file that remembers them.

::

    state          the session file
    redirections   where callers are led, after each generation
    relinking      the objects that a patch needs to be complete by itself
    opening        the file opened for one more generation, or refused
    linking        that generation
    undoing        one that leads back
"""
