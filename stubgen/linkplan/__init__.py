"""From the command that linked the host to the command that links the patch.

``build_link_plan`` is the whole of it: ``toolchain`` says which program runs and how it reads its arguments,
``response`` unfolds response files, ``tokens`` takes the arguments apart by the option tables, ``decisions`` says
what becomes of each, ``additions`` what a patch needs besides, ``edits`` puts both into one account, ``plan`` runs
them in this order, and ``explain`` prints the outcome.
"""

from stubgen.linkplan.edits import Action, Edit
from stubgen.linkplan.plan import LinkPlan, build_link_plan, linker_os_for_host
from stubgen.linkplan.toolchain import LinkerOs

__all__ = ["Action", "Edit", "LinkPlan", "LinkerOs", "build_link_plan", "linker_os_for_host"]
