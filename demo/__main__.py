"""`python -m demo`, called by `make demo`."""

import argparse
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from contracts.errors import InputError
from demo import page, plan
from demo.deployer import Deployer
from demo.story import LAYOUT, Story
from demo.workspace import Workspace, git

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Tell the story in a scratch clone; gives 0 when it went as it should, 2 with one line when it did not."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "data" / "demo",
        help="where the clone, the log and the page go (made anew)",
    )
    folder: Path = parser.parse_args().folder.absolute()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    started = time.monotonic()
    if git(ROOT, "status", "--porcelain", check=False).stdout.strip():
        console.print("[yellow]The demo runs what is committed; your uncommitted changes are not in it.[/]")
    try:
        workspace = Workspace.create(ROOT, folder)
        deployer = Deployer(workspace, LAYOUT)
        with console.status("") as status:

            def announce(title: str) -> None:
                console.print(f"[dim]{time.monotonic() - started:5.0f} s[/]  {title}")
                status.update(title)

            story = Story(workspace, deployer, plan.load(workspace.root / "conf/base/demo.yml"), announce)
            try:
                story.tell()
            finally:
                deployer.close()
                if story.events:
                    page.write(story, folder / "report.html", time.monotonic() - started)
    except InputError as error:
        console.print(f"[red]demo:[/] {error}", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("demo: interrupted; nothing outside its own folder was changed. Run it again when you like.")
        return 130
    page.show(story, console)
    shutil.rmtree(workspace.root / "data" / "broken", ignore_errors=True)
    console.print(
        f"\nThe page:   {folder / 'report.html'}\n"
        f"The clone:  {workspace.root} (git log --graph shows every release)\n"
        f"The log:    {workspace.log}\n\n"
        "Next: change a feature in conf/base/schema.yml, then `make train` and `make serve`; "
        "docs/architecture.md says where everything is.",
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
