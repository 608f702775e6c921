"""Every fixture of ours is byte for byte the reference's: fixtures_are_current.py OURS REFERENCE."""

import pathlib
import sys

ours, reference = map(pathlib.Path, sys.argv[1:])
compared = 0
different = []
for path in sorted(p for p in ours.rglob("*") if p.is_file()):
    other = reference / path.relative_to(ours)
    if other.is_file():
        compared += 1
        if other.read_bytes() != path.read_bytes():
            different.append(str(path.relative_to(ours)))
print(f"{compared} files compared, {len(different)} differ", *different, sep="\n  ")
sys.exit(bool(different) or compared == 0)
