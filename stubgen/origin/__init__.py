"""Where everything in a linked patch comes from: a bound copy, an archive's member, the stub object, or the linker.

"It linked" says nothing of what else was linked in: an archive's strong definition beats a weak stub without a word,
and the host's state is there twice. So every definition and every allocated section of the patch is accounted for:

``link_map`` reads the map files of GNU ld, gold, lld, mold, ld64 and ld64.lld, which say for each range of addresses
from which file it came. zig's driver has no map. There, and for a patch that somebody else linked, ``account`` goes by
the inputs: a name that one of them defines, with the same instructions where it is weak; by the source file that
``.symtab`` names in front of local symbols; and by the tables in ``sources`` of what linkers and start-up code define.
``findings`` says what speaks against the patch.
"""
