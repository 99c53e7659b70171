#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""selftest - each check of tests/tidy refuses a bad sample and takes a good one."""

import pathlib
import sys
import tempfile
import unittest

import banned
import clang_tidy
import compatibility
import format as formatting
import glossary
import layers
import lengths
import licence
import tree

sys.path.insert(0, str(tree.ROOT / "tests" / "lib"))
import archive_source  # noqa: E402  (found through the path above)

C_LINE = "/* SPDX-License-Identifier: Apache-2.0 */\n"


def said(problems):
    return "\n".join(problems)


class Layers(unittest.TestCase):
    def check(self, name, *headers):
        return said(layers.check_file(name, "".join("#include %s\n" % h for h in headers)))

    def test_an_upward_include_is_refused(self):
        self.assertIn("may not include", self.check("common/base/buf.c", '"common/h2/h2_session.h"'))

    def test_a_sideways_include_is_refused(self):
        self.assertIn("may not include", self.check("ztunnel/main.c", '"waypoint/app.h"'))

    def test_common_never_includes_bpf(self):
        self.assertIn("may not include", self.check("common/io/loop.c", '"bpf/capture_shared.h"'))

    def test_the_map_contract_is_for_capture_and_steward(self):
        self.assertEqual("", self.check("ztunnel/capture/capture.c", '"bpf/capture_shared.h"'))
        self.assertEqual("", self.check("tests/bpf/test_logic.c", '"bpf/capture_shared.h"'))
        self.assertIn("contract", self.check("tests/unit/common/io/test_loop.c", '"bpf/capture_shared.h"'))

    def test_a_third_party_header_stays_in_its_room(self):
        self.assertIn("common/tls", self.check("common/h2/h2_conn.c", "<wolfssl/ssl.h>"))
        self.assertIn("common/h2", self.check("common/hbone/hbone_pool.c", "<nghttp2/nghttp2.h>"))
        self.assertIn("common/io", self.check("ztunnel/proxy/outbound.c", "<liburing.h>"))
        self.assertEqual("", self.check("common/tls/tls_session.c", "<wolfssl/ssl.h>"))

    def test_a_pure_file_never_includes_io(self):
        self.assertIn("pure file", self.check("common/tls/tls_session.c", '"common/io/loop.h"'))
        self.assertEqual("", self.check("common/tls/tls_conn.c", '"common/io/loop.h"'))

    def test_a_commented_include_is_none(self):
        text = '/*\n#include "common/h2/h2_session.h"\n*/\n'
        self.assertEqual("", said(layers.check_file("common/base/buf.c", text)))

    def test_a_room_without_a_row_is_refused(self):
        self.assertIn("no row", self.check("common/attic/box.c", '"common/base/err.h"'))

    def test_no_arrow_points_in_a_circle(self):
        def reach(room, path):
            self.assertNotIn(room, path, "circle: %s" % " -> ".join(path + [room]))
            for target in layers.ARROWS.get(room, ()):
                if target in layers.ARROWS and not room.startswith(target):
                    reach(target, path + [room])
        for room in layers.ARROWS:
            if room not in ("ztunnel", "waypoint"):
                reach(room, [])


class Banned(unittest.TestCase):
    table = banned.rules(tree.read("tests/tidy/banned.txt"))

    def check(self, text, name="common/base/str.c", kept=frozenset()):
        return said(banned.check_file(name, text, self.table, kept))

    def test_every_listed_call_is_refused(self):
        for function in self.table:
            self.assertIn(function + "()", self.check("x = %s(y);\n" % function), function)

    def test_a_longer_name_a_comment_and_a_string_are_no_call(self):
        self.assertEqual("", self.check('my_sprintf(a); /* sprintf(b) */ x = "system(1)"; h->signal(2);\n'))

    def test_tests_may_call_what_only_the_product_may_not(self):
        self.assertEqual("", self.check("fork();\n", "tests/unit/common/io/test_loop.c"))
        self.assertIn("fork", self.check("fork();\n"))

    def test_an_exemption_needs_a_reason(self):
        self.assertEqual({("a.c", "fork")}, banned.exemptions("a.c: fork: why\nb.c: fork: \n"))


class Lengths(unittest.TestCase):
    def check(self, text, kept=frozenset()):
        return said(lengths.check_file("common/base/x.c", text, kept))

    def test_a_function_of_71_lines_is_refused_and_of_70_is_not(self):
        def function(lines):
            return "int f(void)\n{\n" + "\tx();\n" * (lines - 3) + "}\n"
        self.assertEqual("", self.check(function(70)))
        self.assertIn("has 71 lines", self.check(function(71)))

    def test_five_levels_are_refused_and_four_are_not(self):
        def function(levels):
            return "int f(void)\n{\n" + "if (x) {\n" * levels + "}\n" * levels + "}\n"
        self.assertEqual("", self.check(function(4)))
        self.assertIn("nests 5", self.check(function(5)))

    def test_seven_arguments_are_refused_and_a_callback_counts_once(self):
        self.assertIn("takes 7", self.check("int f(int a, int b, int c, int d, int e, int g, int h)\n{\n}\n"))
        self.assertEqual("", self.check("int f(int a, int (*b)(int, int, int, int, int, int))\n{\n}\n"))

    def test_a_long_table_is_no_function(self):
        self.assertEqual("", self.check("static const int t[] = {\n" + "1,\n" * 100 + "};\n"))

    def test_a_table_inside_a_function_is_data_and_the_code_after_it_is_not(self):
        table = "\tstatic const struct x t[] = {\n" + "\t{{{1}, 2}},\n" * 100 + "\t};\n"
        self.assertEqual("", self.check("int f(void)\n{\n" + table + "\tx();\n}\n"))
        self.assertIn("has 72 lines", self.check("int f(void)\n{\n" + table + "\tx();\n" * 68 + "}\n"))

    def test_braces_in_strings_and_directives_do_not_count(self):
        text = 'int f(void)\n{\n\tx("{{{{{{");\n#define A {{{{{{\n}\n'
        self.assertEqual("", self.check(text))

    def test_a_file_of_901_lines_is_refused_unless_it_says_why(self):
        self.assertIn("901 lines", self.check("\n" * 901))
        self.assertEqual("", self.check("\n" * 901, {("common/base/x.c", "*")}))


class Format(unittest.TestCase):
    def test_a_file_that_clang_format_would_change_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / ".clang-format").write_text(tree.read(".clang-format"), encoding="utf-8")
            (root / "bad.c").write_text("int  f( void ){return 1;}\n", encoding="utf-8")
            (root / "good.c").write_text("int f(void);\n", encoding="utf-8")
            self.assertIn("bad.c:1", said(formatting.problems(root, ["bad.c", "good.c"])))
            self.assertEqual([], formatting.problems(root, ["good.c"]))


class ClangTidy(unittest.TestCase):
    def test_only_a_finding_in_a_generated_skeleton_is_not_ours(self):
        theirs = "./bpf/capture_guard.skel.h:175:2: error: Potential leak [x]\n"
        self.assertEqual([], clang_tidy.findings(theirs))
        self.assertEqual(1, len(clang_tidy.findings(theirs + "../../common/a.c:1:2: error: y [z]\n")))


class Glossary(unittest.TestCase):
    def check(self, text, name="common/base/x.c", refused=None):
        return said(glossary.check_file(name, text, refused or {}))

    def test_a_word_defined_twice_is_refused(self):
        page = "| word | what it is | never |\n|---|---|---|\n| a | b | - |\n| a | c | - |\n"
        self.assertIn("twice", said(glossary.glossary_problems(page)))

    def test_a_word_is_not_also_refused(self):
        page = "| a | b | c |\n| c | d | - |\n"
        self.assertIn("refused under", said(glossary.glossary_problems(page)))

    def test_names_that_say_nothing_are_refused(self):
        self.assertIn("helper", self.check("static int read_helper(void);\n"))
        self.assertIn("util", self.check("\n", "common/base/string_util.c"))
        self.assertIn("says what it is", self.check("struct conn_ctx {\n"))

    def test_a_second_word_is_refused(self):
        self.assertIn("the glossary says", self.check("int reactor_run(void);\n", refused={"reactor": "loop"}))

    def test_a_member_of_somebody_elses_struct_is_theirs(self):
        self.assertEqual("", self.check("x = event.manager;\n"))


class Licence(unittest.TestCase):
    def check(self, name, text):
        return said(licence.check_file(name, text))

    def test_a_file_without_a_line_is_refused(self):
        self.assertIn("no SPDX", self.check("common/base/x.c", "int x;\n"))

    def test_the_kernel_side_is_dual_and_nothing_else_is(self):
        dual = "/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */\n"
        self.assertEqual("", self.check("bpf/capture_shared.h", dual))
        self.assertIn("is meant here", self.check("bpf/capture_shared.h", C_LINE))
        self.assertIn("is meant here", self.check("common/base/x.c", dual))

    def test_a_script_says_it_on_its_second_line(self):
        self.assertEqual("", self.check("tests/run", "#!/bin/bash\n# SPDX-License-Identifier: Apache-2.0\n"))


class Compatibility(unittest.TestCase):
    def check(self, changed=None):
        table = {row: "| %s | something | - | not yet: no time |" % row for row in compatibility.IDS}
        table.update(changed or {})
        return said(compatibility.check("\n".join(v for v in table.values() if v) + "\n", {"a_claim"}))

    def test_a_full_table_passes(self):
        self.assertEqual("", self.check())

    def test_a_missing_row_is_refused(self):
        self.assertIn("Z-7 is missing", self.check({"Z-7": ""}))

    def test_holds_needs_a_test_that_exists(self):
        self.assertIn("tests/ has none", self.check({"Z-7": "| Z-7 | x | no_such_claim | holds |"}))
        self.assertIn("tests/ has none", self.check({"Z-7": "| Z-7 | x | - | holds |"}))
        self.assertEqual("", self.check({"Z-7": "| Z-7 | x | a_claim | holds |"}))

    def test_partly_needs_tests_that_exist(self):
        row = "| Z-7 | x | - | not yet: no peer; partly by %s |"
        self.assertEqual("", self.check({"Z-7": row % "a_claim"}))
        self.assertIn("'no_such'", self.check({"Z-7": row % "a_claim, no_such"}))

    def test_not_yet_needs_a_reason(self):
        self.assertIn("the state is", self.check({"Z-7": "| Z-7 | x | - | not yet |"}))


class ArchiveSource(unittest.TestCase):
    def found(self, name, text):
        with tempfile.TemporaryDirectory() as folder:
            etc = pathlib.Path(folder)
            (etc / "sources.list.d").mkdir()
            (etc / name).write_text(text, encoding="utf-8")
            entries = [e for e in archive_source.read_entries(etc)
                       if archive_source.is_main_archive(e, {"bookworm"})]
        return archive_source.source_entry(entries[0], "sid") if entries else None

    def test_both_forms_of_a_sources_entry_are_read(self):
        stanza = ("Types: deb\nURIs: http://h/security\nSuites: bookworm-security\nComponents: main\n\n"
                  "Types: deb\nURIs: http://h/debian\nSuites: bookworm bookworm-updates\n"
                  "Components: main\nSigned-By: /k.gpg\n")
        line = "deb http://h/x other main\ndeb [arch=amd64 signed-by=/k.gpg] http://h/debian bookworm main contrib\n"
        want = "Types: deb-src\nURIs: http://h/debian\nSuites: sid\nComponents: main\nSigned-By: /k.gpg\n"
        self.assertEqual(want, self.found("sources.list.d/debian.sources", stanza))
        self.assertEqual(want, self.found("sources.list", line))

    def test_somebody_elses_archive_is_not_taken(self):
        self.assertIsNone(self.found("sources.list", "deb http://h/apt cloud-bookworm main\n"))
        self.assertIsNone(self.found("sources.list", "# deb http://h/debian bookworm main\n"))

    def test_an_entry_that_is_switched_off_is_not_taken(self):
        stanza = "Enabled: no\nTypes: deb\nURIs: http://h/debian\nSuites: bookworm\nComponents: main\n"
        self.assertIsNone(self.found("sources.list.d/debian.sources", stanza))


if __name__ == "__main__":
    unittest.main()
