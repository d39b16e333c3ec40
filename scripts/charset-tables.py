#!/usr/bin/env python3
"""Makes src/schema/charset/tables/ from what a real MySQL converts each code of its character sets to.

    scripts/charset-tables.py           writes the files
    scripts/charset-tables.py --check   tells which of them differ from the server

The server is the one of `scripts/servers`, which it starts. One file per character set that is no Unicode; all numbers
are 16 bits, big-endian:

    first, count                        of the nodes: see below
    256 entries                         node 0: of each first byte of a character
    count times 256 - first entries     nodes 1..: of each byte from `first` on that may follow
    the rest, sorted                    places of entries whose character the server itself writes as another code

An entry is a character, D800 + the number of the node for the next byte, or FFFF: no character. `gb18030-runs.bin` has
the characters of four bytes up to U+FFFF: from which code on (counted from 81 30 81 30), which character; both rise
together until the next one.
"""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLES = ROOT / "src/schema/charset/tables"
UNICODE = {"binary", "ascii", "latin1", "utf8mb3", "utf8mb4", "utf16", "utf16le", "utf32", "ucs2"}
NONE, NODE, QUESTION_MARK = 0xFFFF, 0xD800, 0x3F
BYTES = "WITH RECURSIVE n(i, h) AS (SELECT 0, '00' UNION ALL SELECT i + 1, LPAD(HEX(i + 1), 2, '0') FROM n WHERE i < 255)"
# Which bytes a code of so many bytes can have.
CODES = {
    1: ("a.h", "n a"),
    2: ("CONCAT(a.h, b.h)", "n a, n b WHERE a.i > 127"),
    3: ("CONCAT(a.h, b.h, c.h)", "n a, n b, n c WHERE a.i > 127 AND b.i > 127 AND c.i > 127"),
    4: (
        "CONCAT(a.h, b.h, c.h, d.h)",
        "n a, n b, n c, n d WHERE a.i > 127 AND b.i BETWEEN 48 AND 57 AND c.i > 127 AND d.i BETWEEN 48 AND 57",
    ),
}


def rows(sql):
    command = [ROOT / "scripts/servers", "mysql-client", "main", "-N", "-B", "-e", "SET sql_mode=''; " + sql]
    return [line.split("\t") for line in subprocess.check_output(command, text=True).splitlines()]


def characters(charset, width):
    """{code: (character, code that the server writes for it)} of the codes that it takes as one character."""
    code, source = CODES[width]
    codes = f"SELECT UNHEX({code}) AS x FROM {source}"
    texts = f"SELECT x, CONVERT(x USING {charset}) AS s FROM ({codes}) AS codes"
    found = rows(
        f"{BYTES} SELECT HEX(x), HEX(CONVERT(s USING utf32)), HEX(CONVERT(CONVERT(s USING utf32) USING {charset})) "
        f"FROM ({texts}) AS texts WHERE CAST(s AS BINARY) = x AND CHAR_LENGTH(s) = 1"
    )
    known = ((bytes.fromhex(code), int(utf32 or "3F", 16), bytes.fromhex(back)) for code, utf32, back in found)
    return {code: (char, back) for code, char, back in known if char != QUESTION_MARK or code == b"?"}


def table(codes):
    codes = dict(sorted(codes.items(), key=lambda pair: (len(pair[0]), pair[0])))
    first = min((byte for code in codes for byte in code[1:]), default=256)
    nodes = {b"": [NONE] * 256}
    again = []
    for code, (char, back) in codes.items():
        for end in range(1, len(code)):
            if code[:end] not in nodes:
                nodes[code[: end - 1]][code[end - 1] - (first if end > 1 else 0)] = NODE + len(nodes)
                nodes[code[:end]] = [NONE] * (256 - first)
        place = code[-1] - (first if len(code) > 1 else 0)
        nodes[code[:-1]][place] = char
        # A character of ASCII is its own code, whatever the server writes: sjis has a second backslash that it prefers.
        if code != (bytes([char]) if char < 128 and bytes([char]) in codes else back):
            number = list(nodes).index(code[:-1])
            again.append(place if number == 0 else 256 + (number - 1) * (256 - first) + place)
    entries = [entry for node in nodes.values() for entry in node]
    return numbers([first, len(nodes) - 1, *entries, *sorted(again)])


def runs(codes):
    """Of gb18030's four bytes; those beyond U+FFFF follow a rule, which is tried here."""
    found, expected = [], None
    for (a, b, c, d), (char, _) in sorted(codes.items()):
        place = (((a - 0x81) * 10 + b - 0x30) * 126 + c - 0x81) * 10 + d - 0x30
        if char > 0xFFFF:
            assert char - 0x10000 == place - 189000, (hex(char), place)
        elif (place, char) != expected:
            found += [place, char]
        expected = (place + 1, char + 1)
    return numbers(found)


def numbers(values):
    return b"".join(value.to_bytes(2, "big") for value in values)


def main():
    subprocess.run([ROOT / "scripts/servers", "up"], check=True, stdout=subprocess.DEVNULL)
    files = {}
    for charset, width in rows("SELECT character_set_name, maxlen FROM information_schema.character_sets ORDER BY 1"):
        if charset in UNICODE:
            continue
        found = {n: characters(charset, n) for n in range(1, int(width) + 1) if (charset, n) != ("gb18030", 3)}
        files[charset] = table({code: char for n in (1, 2, 3) for code, char in found.get(n, {}).items()})
        if 4 in found:
            files[f"{charset}-runs"] = runs(found[4])
    differ = []
    for name, content in files.items():
        path = TABLES / f"{name}.bin"
        if not path.exists() or path.read_bytes() != content:
            differ.append(name)
        if "--check" not in sys.argv:
            TABLES.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    print(f"{len(files)} tables, {sum(map(len, files.values()))} bytes; changed: {', '.join(differ) or 'none'}")
    sys.exit("--check" in sys.argv and bool(differ))


if __name__ == "__main__":
    main()
