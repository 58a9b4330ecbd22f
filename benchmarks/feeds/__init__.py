"""The table `feeds`: what many watch at once. `table` says what is measured, `roster` who takes part.

Each row is a module: `fanout`, `many`, `conflation`, `slow`, `idle`, `flat`. The clients of a row are one process,
`load`, which `loading` starts and asks; `values` is what every server sends. `report` and `plot` tell.
"""
