"""The result of a campaign: a table in Markdown, and the first cases of each fault with what repeats them."""

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.errors import UserError
from tests.robustness import tiny
from tests.robustness.sandbox import sandbox
from tests.robustness.workers import ANSWERED, REFUSED, Key, Outcome, preload

NAMED = 6  # cases of each fault in a report
HARMLESS = {ANSWERED, REFUSED}


class Report:
    """Counts outcomes by group, which is the kind of a case unless `add` names another."""

    def __init__(self, name: str, command: str, groups: Sequence[str] = (), harmless: Sequence[str] = ()):
        self.name, self.command, self.harmless = name, command, HARMLESS | set(harmless)
        self.counts: dict[str, Counter[str]] = {group: Counter() for group in groups}
        self.faults: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
        self.began = time.monotonic()

    def add(self, outcome: Outcome, group: str | None = None) -> None:
        """Counts one outcome; a fault is named at once on standard error."""
        group = outcome.key[0] if group is None else group
        self.counts.setdefault(group, Counter())[outcome.verdict] += 1
        if outcome.verdict not in self.harmless:
            self.faults[group, outcome.verdict].append(outcome)

    @property
    def exit_code(self) -> int:
        """1 if there is a fault."""
        return int(bool(self.faults))

    def print(self, columns: Sequence[str] = ()) -> None:
        """Prints the table, with columns for these verdicts and for each fault that occurs, and the faults."""
        found = {verdict for counts in self.counts.values() for verdict in counts}
        verdicts = [*columns, *sorted(found - set(columns))]
        total = sum((counts for counts in self.counts.values()), Counter())
        print(f"\n| {self.name} | cases | {' | '.join(verdicts)} |")
        print("|---" * (len(verdicts) + 2) + "|")
        for group, counts in [*self.counts.items(), ("all", total)]:
            print(f"| {group} | {counts.total():,} | {' | '.join(f'{counts[verdict]:,}' for verdict in verdicts)} |")
        for (group, verdict), outcomes in sorted(self.faults.items()):
            reasons = Counter(outcome.detail for outcome in outcomes)
            print(f"\n{group}, {verdict}: {len(outcomes)}, {len(reasons)} different")
            first = {outcome.detail: outcome for outcome in reversed(outcomes)}
            for reason, count in reasons.most_common(NAMED):
                kind, index = first[reason].key
                print(f"  {count} x {reason}\n      {first[reason].description[:300]}")
                print(f"      {self.command} --case '{kind}:{index}'")
        print(f"\n{self.name}: {total.total():,} cases in {time.monotonic() - self.began:.0f} s", flush=True)


def add_options(parser: argparse.ArgumentParser, count: int) -> argparse.ArgumentParser:
    """The options of every campaign."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--count", type=int, default=count, help=f"number of cases (default: {count:,})")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds make equal cases (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default: 2)")
    parser.add_argument("--folder", type=Path, help="a folder of an earlier campaign, or a new name; it is kept")
    parser.add_argument("--case", type=_key, metavar="KIND:INDEX", help="run this case alone, and keep its files")
    return parser


def _key(text: str) -> Key:
    kind, _, index = text.rpartition(":")
    return kind, int(index)


def print_case(judge: Callable[[], Outcome], own: Path) -> int:
    """Judges one case in this process and prints all about it."""
    outcome = judge()
    print(f"{outcome.description}\n{outcome.verdict}: {outcome.detail}\nfiles: {own}")
    return int(outcome.verdict not in HARMLESS)


def judge_all_or_one(
    arguments: Sequence[str],
    program: str,
    description: str | None,
    count: int,
    judge: Callable[[int, Key, Path], Outcome],
    campaign: Callable[[Path, int, int, int], Report],
) -> int:
    """Runs `campaign(own, count, seed, jobs)`, or with --case `judge(seed, key, folder)`; returns the exit code."""
    options = add_options(argparse.ArgumentParser(program, description=description), count).parse_args(arguments)
    preload()
    tiny.shrink_corpora()
    with sandbox(options.folder, keep=bool(options.case)) as own:
        if not options.case:
            return campaign(own, options.count, options.seed, options.jobs).exit_code
        tiny.train_all(own)
        folder = Path(tempfile.mkdtemp(dir=own / "tmp"))
        return print_case(lambda: judge(options.seed, options.case, folder), own)


def as_command(main: Callable[[Sequence[str]], int]) -> None:
    """Ends the process with the exit code of `main`; an error that a user can fix is one line."""
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
