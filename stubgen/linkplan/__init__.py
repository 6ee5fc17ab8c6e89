"""From the command that linked the host to the command that links the patch.

``build_link_plan`` is the whole of it: ``toolchain`` says which program runs and how it reads its arguments,
``response`` unfolds response files, ``tokens`` takes the arguments apart by the option tables, ``plan`` decides
what becomes of each and adds what a patch needs, and ``explain`` prints it.
"""

from stubgen.linkplan.plan import Action, Edit, LinkPlan, build_link_plan, linker_os_for_host
from stubgen.linkplan.toolchain import LinkerOs

__all__ = ["Action", "Edit", "LinkPlan", "LinkerOs", "build_link_plan", "linker_os_for_host"]
