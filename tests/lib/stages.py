#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stages - the steps of tests/run: what each runs, how long it took, what passed and what failed.

A stage is a list of checks; a check has a name and either passes or fails, and every single test
of a test program is one. A failing stage shows its output and does not stop the ones after it.
Everything printed by the tools is kept under build/log/.
"""

import concurrent.futures
import glob
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOG = ROOT / "build" / "log"
JOBS = os.cpu_count() or 2
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "30"))
PYTHON = "/usr/bin/python3"  # Debian's modules live with Debian's interpreter
SANITIZED = 4  # how many times as long a program may take with sanitizers in it
SHOWN_LINES = 60
SHOWN_COLUMNS = 300
BUILD_CHATTER = re.compile(r"\[\d+/\d+\] |(Compiler for|Library|Dependency|Program|Configuring) .*|Found ninja")
BUILD_FAILURE = re.compile(r"^FAILED: |\bERROR: ")
# Sanitizers want the small address space they were built for.
NO_RANDOM = ["setarch", platform.machine(), "-R"]
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


class Results:
    """What passed and what failed, over all stages."""

    def __init__(self):
        self.passed = []
        self.failed = []
        self.skipped = []

    def add(self, name, ok, note=""):
        (self.passed if ok else self.failed).append(name)
        print("   %s %s%s" % ("ok  " if ok else "FAIL", name, "  " + note if note else ""), flush=True)


def environment(extra=None):
    env = dict(os.environ)
    env.update(SANITIZER_ENV)
    env.update(extra or {})
    return env


def run(name, command, timeout=600, env=None):
    """Run one command into build/log/NAME.log. Returns (exit status, log path, seconds)."""
    LOG.mkdir(parents=True, exist_ok=True)
    path = LOG / (name + ".log")
    start = time.monotonic()
    with path.open("wb") as out:
        out.write(("$ " + " ".join(shlex.quote(str(c)) for c in command) + "\n").encode())
        out.flush()
        process = subprocess.Popen(
            [str(c) for c in command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, env=environment(env), start_new_session=True)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 15)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
            out.write(("\nstopped: not done after %d s\n" % timeout).encode())
            status = 124
    return status, path, time.monotonic() - start


def show_end(path):
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line[:SHOWN_COLUMNS] for line in text.splitlines() if not BUILD_CHATTER.match(line)]
    first = next((n for n, line in enumerate(lines) if BUILD_FAILURE.search(line)), None)
    if first is not None:
        shown = lines[first:first + SHOWN_LINES]
    else:
        shown = lines[-SHOWN_LINES:]
    if len(shown) < len(lines):
        print("      ... out of %s:" % path.relative_to(ROOT))
    for line in shown:
        print("      | " + line)
    sys.stdout.flush()


def check(results, name, command, timeout=600, env=None):
    """One command that is one check."""
    status, path, seconds = run(name, command, timeout, env)
    results.add(name, status == 0, "%.1f s" % seconds)
    if status != 0:
        show_end(path)
    return status == 0


def prepare(results, name, command, timeout=600, env=None):
    """One command that has to work before anything is tested; counted only when it does not."""
    status, path, seconds = run(name, command, timeout, env)
    if status == 0:
        print("   done %s  %.1f s" % (name, seconds), flush=True)
        return True
    results.add(name, False, "%.1f s" % seconds)
    show_end(path)
    return False


def tracked(*patterns):
    """Files of the project (known to git or new, never ignored ones) that match."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "--"]
        + list(patterns), cwd=ROOT, stdout=subprocess.PIPE, check=False)
    names = listing.stdout.decode().split("\n")
    return sorted(n for n in set(names) if n and (ROOT / n).is_file())


# ---- building -----------------------------------------------------------------------------------

def wolfssl_option():
    prefix = os.environ.get("WOLFSSL_PREFIX")
    return ["-Dwolfssl_prefix=" + prefix] if prefix else []


def configure(results, folder, options, compiler):
    """meson setup, once per folder; later runs keep what is there."""
    if (ROOT / folder / "build.ninja").exists():
        return True
    name = "setup-" + folder.replace("/", "-")
    if (ROOT / folder / "meson-private" / "coredata.dat").exists():
        options = options + ["--reconfigure"]  # a set-up that was cut short
    return prepare(results, name, ["meson", "setup", folder] + options + wolfssl_option(),
                   env={"CC": compiler})


def build(results, folder, options, compiler, targets=()):
    """Configure and compile. True when everything asked for was built."""
    if not configure(results, folder, options, compiler):
        return False
    name = "build-" + folder.replace("/", "-")
    return prepare(results, name, ["ninja", "-C", folder, "-j%d" % JOBS, "-k0"] + list(targets), timeout=1200)


GCC = ("build", [], "gcc")
ASAN = ("build/asan", ["-Db_sanitize=address,undefined", "-Db_lundef=false"], "clang")
TSAN = ("build/tsan", ["-Db_sanitize=thread", "-Db_lundef=false", "-Dbpf=false"], "clang")
COVERAGE = ("build/coverage", ["-Db_coverage=true", "-Doptimization=0", "-Dbpf=false"], "gcc")
FUZZ = ("build/fuzz", ["-Dfuzz=true", "-Dbpf=false", "-Db_lundef=false"], "clang")


def registered(folder, suites):
    """Whether any test belongs to one of these suites (any test at all, when none is named)."""
    listing = subprocess.run(["meson", "introspect", "--tests", folder], cwd=ROOT,
                             stdout=subprocess.PIPE, check=True)
    tests = json.loads(listing.stdout)
    if not suites:
        return bool(tests)
    return any(suite.split(":")[-1] in suites for test in tests for suite in test["suite"])


def meson_tests(results, folder, suites=(), wrapper=(), slower=1):
    """meson test; every test program counts once. Each may take `slower` times the time its meson.build gives it."""
    if not registered(folder, suites):
        return
    name = "test-" + folder.replace("/", "-")
    report = ROOT / folder / "meson-logs" / "testlog.json"
    if report.exists():
        report.unlink()
    command = list(wrapper) + ["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs",
                               "--num-processes=%d" % JOBS, "--timeout-multiplier=%d" % slower]
    command += ["--suite=" + s for s in suites]
    status, path, _ = run(name, command, timeout=900)
    rows = []
    if report.exists():
        rows = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines() if line.strip()]
    bad = 0
    for row in rows:
        ok = row["result"] in ("OK", "EXPECTEDFAIL")
        if row["result"] == "SKIP":
            results.skipped.append("%s %s" % (folder, row["name"]))
            print("   skip %s" % row["name"])
            continue
        bad += not ok
        results.add("%s: %s" % (folder, row["name"]), ok, "%.1f s" % row["duration"])
    if not rows or (status != 0 and not bad):
        results.add("%s: meson test" % folder, False, "exit status %d" % status)
        bad += 1
    if bad:
        show_end(path)


# ---- the stages ---------------------------------------------------------------------------------

def stage_lint(results):
    for tool in ("format", "layers", "banned", "lengths", "glossary", "licence", "compatibility", "selftest"):
        check(results, tool, [PYTHON, "tests/tidy/%s.py" % tool])
    scripts = [n for n in tracked("tests/*", ".ci/*") if is_shell(ROOT / n)]
    check(results, "shellcheck", ["shellcheck", "-x"] + scripts)
    check(results, "cppcheck", ["tests/tidy/cppcheck.sh", str(JOBS)])


def is_shell(path):
    if path.suffix == ".sh":
        return True
    with path.open("rb") as file:
        return bool(re.match(rb"#!.*\b(bash|sh)\b", file.readline(80)))


def stage_unit(results):
    if build(results, *GCC):
        meson_tests(results, GCC[0])


def stage_asan(results):
    if build(results, *ASAN):
        meson_tests(results, ASAN[0], wrapper=NO_RANDOM, slower=SANITIZED)


def stage_tidy(results):
    """clang-tidy over the product, with clang's own build so that every flag is known to it."""
    if not build(results, *ASAN):
        return
    files = tracked("common/*.c", "ztunnel/*.c", "waypoint/*.c")
    if files:
        check(results, "clang-tidy", ["tests/tidy/clang_tidy.py", ASAN[0]] + files, timeout=900)


def stage_tsan(results):
    """Only where threads meet: the sanitizer does not see the kernel's side of a ring."""
    if build(results, *TSAN):
        meson_tests(results, TSAN[0], suites=["threads"], wrapper=NO_RANDOM, slower=SANITIZED)


def fuzz_one(program, seconds):
    name = program.name[len("fuzz_"):]
    seeds = ROOT / "tests" / "fuzz" / "corpus" / name
    grown = ROOT / "build" / "fuzz-corpus" / name
    found = LOG / "fuzz" / name
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    common = ["nice", "-n", "19"] + NO_RANDOM + [program, "-rss_limit_mb=2048", "-timeout=20", "-artifact_prefix=%s/" % found]
    status, path, _ = run("fuzz-%s-replay" % name, common + ["-runs=0", grown, seeds])
    if status == 0:
        status, path, _ = run("fuzz-" + name, common + [
            "-max_total_time=%d" % seconds, "-print_final_stats=1", grown, seeds], timeout=seconds + 120)
    text = path.read_text(encoding="utf-8", errors="replace")
    executions = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    return name, status == 0, path, executions.group(1) if executions else "?", found


def fuzz_targets():
    """The targets that tests/fuzz/meson.build registers, as ninja names them."""
    subprocess.run(["ninja", "-C", FUZZ[0], "build.ninja"], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    listing = subprocess.run(["ninja", "-C", FUZZ[0], "-t", "targets", "all"], cwd=ROOT,
                             stdout=subprocess.PIPE, check=False)
    return sorted(set(re.findall(r"^(tests/fuzz/fuzz_\w+):", listing.stdout.decode(), re.M)))


def fuzz_build(results):
    return configure(results, *FUZZ) and build(results, *FUZZ, targets=fuzz_targets() or ["tidy-selftest"])


def fuzz_run(results):
    sources = {pathlib.Path(n).stem for n in tracked("tests/fuzz/fuzz_*.c")}
    programs = [pathlib.Path(p) for p in sorted(glob.glob(str(ROOT / FUZZ[0] / "tests/fuzz/fuzz_*")))
                if os.path.isfile(p) and os.access(p, os.X_OK)]
    for name in sorted(sources - {p.name for p in programs}):
        results.add(name, False, "has a source but no line in tests/fuzz/meson.build")
    for program in programs:
        if not any((ROOT / "tests/fuzz/corpus" / program.name[5:]).glob("*")):
            results.add(program.name + " corpus", False, "tests/fuzz/corpus/%s is empty" % program.name[5:])
    with concurrent.futures.ThreadPoolExecutor(max(1, min(2, JOBS))) as pool:
        for name, ok, path, count, found in pool.map(lambda p: fuzz_one(p, FUZZ_SECONDS), programs):
            results.add("fuzz " + name, ok, "%s inputs in %d s" % (count, FUZZ_SECONDS))
            if not ok:
                show_end(path)
                print("      what was found: %s" % found.relative_to(ROOT))


def stage_fuzz(results):
    if fuzz_build(results):
        fuzz_run(results)


class Meanwhile:
    """The fuzzers beside end-to-end tests, which mostly wait: they take what is left of the processors."""

    def __init__(self, results):
        self.results, self.thread = Results(), None
        if fuzz_build(results):
            self.thread = threading.Thread(target=fuzz_run, args=(self.results,))
            self.thread.start()

    def join(self, results):
        if self.thread:
            self.thread.join()
        results.passed += self.results.passed
        results.failed += self.results.failed


def pytest(results, name, folder, arguments, timeout, wrapper=()):
    report = LOG / (name + ".xml")
    if report.exists():
        report.unlink()
    command = list(wrapper) + [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                           "--junitxml=%s" % report] + arguments
    status, path, _ = run(name, command, timeout=timeout,
                          env={"CULVERT_BUILD": folder, "PYTHONDONTWRITEBYTECODE": "1"})
    bad = 0
    cases = []
    if report.exists():
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    for case in cases:
        title = "%s: %s.%s" % (name, case.get("classname", "").split(".")[-1], case.get("name"))
        if case.find("skipped") is not None:
            why = case.find("skipped").get("message", "")
            results.skipped.append("%s: %s" % (title, why))
            print("   skip %s: %s" % (title, why))
            continue
        ok = case.find("failure") is None and case.find("error") is None
        bad += not ok
        results.add(title, ok, "%.1f s" % float(case.get("time", "0")))
    if (not cases and status != 5) or (status not in (0, 5) and not bad):
        results.add(name, False, "pytest ended with status %d" % status)
        bad += 1
    if bad:
        show_end(path)


def stage_e2e(results):
    if tracked("tests/e2e/test_*.py") and build(results, *GCC):
        pytest(results, "e2e", GCC[0], ["tests/e2e"], timeout=1500)


def stage_e2e_asan(results):
    """The end-to-end tests marked `asan`, against the sanitizer build."""
    if tracked("tests/e2e/test_*.py") and build(results, *ASAN):
        pytest(results, "e2e-asan", ASAN[0], ["-m", "asan", "tests/e2e"], timeout=900, wrapper=NO_RANDOM)


# Room -> the suite that tests it alone, and the least share of its branches that the suite must take, in percent.
# What stays is what only our own mistakes could take: CHECKs that never fail, values no enum has.
COVERED = {"common/mesh": ("mesh", 95.0)}


def suite_targets(folder, suite):
    """What has to be built for the tests of a suite, as ninja names it."""
    subprocess.run(["ninja", "-C", folder, "build.ninja"], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)

    def introspected(what):
        listing = subprocess.run(["meson", "introspect", what, folder], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        return json.loads(listing.stdout)
    needed = {i for t in introspected("--tests") if any(s.endswith(":" + suite) for s in t["suite"]) for i in t["depends"]}
    return [os.path.relpath(f, ROOT / folder) for t in introspected("--targets") if t["id"] in needed
            for f in t["filename"]]


def print_coverage(summary):
    print("   %9s %9s %7s" % ("branches", "taken", ""))
    for file in summary["files"] + [dict(summary, filename="all")]:
        print("   %9d %9d %6.1f %%  %s" % (file["branch_total"], file["branch_covered"],
                                           file["branch_percent"], file["filename"]), flush=True)


def stage_coverage(results):
    """How much of a room its own tests go through."""
    folder = COVERAGE[0]
    if not configure(results, *COVERAGE):
        return
    for room, (suite, least) in COVERED.items():
        if not build(results, *COVERAGE, targets=suite_targets(folder, suite)):
            continue
        for old in (ROOT / folder).rglob("*.gcda"):
            old.unlink()
        if not prepare(results, "coverage-" + suite,
                       ["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", "--suite=" + suite]):
            continue
        report = LOG / ("coverage-%s.json" % suite)
        if not prepare(results, "gcovr-" + suite, ["gcovr", "--root=.", "--object-directory=" + folder,
                                                   "--filter=%s/" % room, "--json-summary=%s" % report]):
            continue
        summary = json.loads(report.read_text(encoding="utf-8"))
        print_coverage(summary)
        missing = set(tracked(room + "/*.c")) - {f["filename"] for f in summary["files"]}
        results.add("branches of %s" % room, summary["branch_percent"] >= least and not missing,
                    "%.1f %%, at least %.0f %%%s" % (summary["branch_percent"], least,
                                                     "; no figures of " + ", ".join(sorted(missing)) if missing else ""))


def stage_bench(results):
    """Not a measurement: that the benchmarks still run."""
    script = ROOT / "tests" / "bench" / "run"
    if script.exists() and build(results, *GCC):
        check(results, "bench-smoke", [script, "--smoke"], timeout=300, env={"CULVERT_BUILD": GCC[0]})
        check(results, "bench-authz", [ROOT / GCC[0] / "tests/bench/bench_authz", "--smoke"], timeout=120)


STAGES = {
    "lint": ("format, layers, lengths, words, licences, shellcheck, cppcheck", stage_lint),
    "unit": ("gcc build and unit tests", stage_unit),
    "asan": ("clang build with address and undefined sanitizers, unit tests", stage_asan),
    "tidy": ("clang-tidy over the product", stage_tidy),
    "tsan": ("thread sanitizer where threads meet", stage_tsan),
    "coverage": ("the share of branches that a room's own tests take", stage_coverage),
    "fuzz": ("every fuzz target: its corpus, then %d s of new inputs" % FUZZ_SECONDS, stage_fuzz),
    "e2e": ("end to end between namespaces", stage_e2e),
    "e2e-asan": ("end to end again with the sanitizers", stage_e2e_asan),
    "bench": ("the benchmarks run", stage_bench),
}
NOT_QUICK = ("tidy", "tsan", "coverage", "fuzz", "e2e-asan", "bench")


def usage():
    print("usage: tests/run [--quick] [STAGE...]\n\n  --quick  without %s\n\nstages:" % ", ".join(NOT_QUICK))
    for name, (title, _) in STAGES.items():
        print("  %-9s %s" % (name, title))
    print("\nFUZZ_SECONDS=N sets the time of each fuzz target, WOLFSSL_PREFIX=DIR uses an installed wolfSSL.")


def chosen(arguments):
    names = [a for a in arguments if not a.startswith("-")]
    for name in names:
        if name not in STAGES:
            sys.exit("error: tests/run knows no stage %r; it knows: %s" % (name, " ".join(STAGES)))
    for option in arguments:
        if option.startswith("-") and option != "--quick":
            sys.exit("error: tests/run knows no option %r; see tests/run --help" % option)
    if not names:
        names = [n for n in STAGES if "--quick" not in arguments or n not in NOT_QUICK]
    return names


def main(arguments):
    if "--help" in arguments or "-h" in arguments:
        usage()
        return 0
    names = chosen(arguments)
    results = Results()
    table = []
    meanwhile = None
    begin = time.monotonic()
    for number, name in enumerate(names, 1):
        title, stage = STAGES[name]
        print("== %d/%d %s: %s" % (number, len(names), name, title), flush=True)
        start, passed, failed = time.monotonic(), len(results.passed), len(results.failed)
        if name == "fuzz" and "e2e" in names[number:]:
            meanwhile = Meanwhile(results)
        else:
            stage(results)
        table.append((name, len(results.passed) - passed, len(results.failed) - failed,
                      time.monotonic() - start))
    if meanwhile:
        start, passed, failed = time.monotonic(), len(results.passed), len(results.failed)
        meanwhile.join(results)
        table.append(("fuzz", len(results.passed) - passed, len(results.failed) - failed,
                      time.monotonic() - start))
    print("\n%-10s %7s %7s %8s" % ("stage", "passed", "failed", "seconds"))
    for row in table:
        print("%-10s %7d %7d %8.0f" % row)
    print("%-10s %7d %7d %8.0f" % ("all", len(results.passed), len(results.failed), time.monotonic() - begin))
    for name in results.skipped:
        print("skipped: " + name)
    for name in results.failed:
        print("failed: " + name)
    print("%d passed, %d failed" % (len(results.passed), len(results.failed)))
    return 0 if results.passed and not results.failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
