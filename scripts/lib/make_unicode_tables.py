#!/usr/bin/env python3
"""Writes core/model/unicode_tables.inc and core/model/html_entities.inc from Python's own tables.

The tokenizer must split, lower-case and unescape text as the Python program did that the models were trained
with. Run with Python 3.11 (Unicode 14.0.0), whose tables the parity fixtures were made with.
"""
import argparse
import html
import html.entities
import pathlib
import sys
import unicodedata

CODE_POINTS = range(0x110000)


def ranges(predicate):
    """Sorted (first, last) of the code points that fulfil the predicate."""
    found = []
    for code in CODE_POINTS:
        if not predicate(code):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def lower_ranges():
    """(first, last, step, delta) of the code points whose lower case is one other code point."""
    found = []
    for code in CODE_POINTS:
        lower = chr(code).lower()
        if lower == chr(code) or len(lower) != 1:
            continue
        delta = ord(lower) - code
        last = found[-1] if found else None
        if last and last[3] == delta and (code - last[1] == last[2] or (last[0] == last[1] and code - last[1] <= 2)):
            last[2] = code - last[1]
            last[1] = code
        else:
            found.append([code, code, 1, delta])
    return found


def cased(code):
    # U+03A3 becomes a final sigma only after a cased letter; letters that the rule skips do not count.
    return (chr(code) + "\u03a3").lower().endswith("\u03c2")


def case_ignorable(code):
    return not cased(code) and ("a" + chr(code) + "\u03a3").lower().endswith("\u03c2")


def rows(items, per_line):
    lines = []
    for start in range(0, len(items), per_line):
        lines.append("    " + " ".join(items[start:start + per_line]))
    return "\n".join(lines)


def range_table(name, table):
    items = ["{%s}," % ", ".join(hex(v) if v >= 0 else str(v) for v in row) for row in table]
    kind = "LowerRange" if len(table[0]) == 4 else "CodeRange"
    return f"constexpr {kind} {name}[] = {{\n{rows(items, 6 if kind == 'CodeRange' else 4)}\n}};\n"


def unicode_tables():
    assert [code for code in CODE_POINTS if len(chr(code).lower()) != 1] == [0x130]
    return "".join([
        range_table("kLetters", ranges(lambda c: unicodedata.category(chr(c))[0] == "L")),
        range_table("kNumbers", ranges(lambda c: unicodedata.category(chr(c))[0] == "N")),
        range_table("kCased", ranges(cased)),
        range_table("kCaseIgnorable", ranges(case_ignorable)),
        range_table("kLower", lower_ranges()),
    ])


def entity_tables():
    names = []
    for name, value in sorted(html.entities.html5.items()):
        codes = [ord(c) for c in value] + [0]
        assert len(codes) <= 3
        names.append('{"%s", {%s, %s}},' % (name, hex(codes[0]), hex(codes[1])))
    replaced = ["{%s, %s}," % (hex(code), hex(ord(text))) for code, text in sorted(html._invalid_charrefs.items())]
    dropped = range_table("kDropped", ranges(lambda c: c in html._invalid_codepoints))
    return (f"constexpr Entity kEntities[] = {{\n{rows(names, 3)}\n}};\n"
            f"constexpr Replacement kReplaced[] = {{\n{rows(replaced, 8)}\n}};\n{dropped}")


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    if unicodedata.unidata_version != "14.0.0":
        sys.exit(f"make_unicode_tables: needs Unicode 14.0.0 (Python 3.11), this is {unicodedata.unidata_version}")
    head = "// Made by scripts/lib/make_unicode_tables.py from Python's tables, Unicode 14.0.0. Do not edit.\n// clang-format off\n"
    room = pathlib.Path(__file__).resolve().parents[2] / "core/model"
    (room / "unicode_tables.inc").write_text(head + unicode_tables())
    (room / "html_entities.inc").write_text(head + entity_tables())


if __name__ == "__main__":
    main()
