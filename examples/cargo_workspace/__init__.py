"""A Cargo workspace, program and libraries, patched while it runs: ``python -m examples.cargo_workspace.patch``."""
