"""What a reviewer sees, as pictures: Markdown by GitHub's own parser, in a page that looks like theirs, in chromium.

    python -m tests.release.pictures --repository DIR --environment production --image sha256:… --reports DIR --why TEXT

draws into docs/ what is asked for: the body of the pull request that promoting the image would open, the job summary of
the reports, the body of the pull request that a rollback would open now.
Nothing is promoted: the forge is one that only looks.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options
from PIL import Image, ImageChops

from contracts.errors import InputError
from release import promotion, rollback, summary
from release.forge import Proposal, PullRequest
from release.git import Git
from release.git_forge import GitForge
from release.oci import Layout

WIDTH, HEIGHT = 1000, 6000
MARGIN = 24
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; color: #1f2328;
  max-width: 860px; margin: 24px auto; padding: 16px 24px; border: 1px solid #d1d9e0; border-radius: 6px; }}
h1, h2, h3 {{ font-weight: 600; line-height: 1.25; margin: 24px 0 12px; }}
h1 {{ font-size: 1.8em; }} h2 {{ font-size: 1.5em; padding-bottom: .3em; border-bottom: 1px solid #d1d9e0b3; }}
h3 {{ font-size: 1.25em; }}
table {{ border-collapse: collapse; display: block; max-width: 100%; overflow: auto; margin: 0 0 16px; }}
th, td {{ border: 1px solid #d1d9e0; padding: 6px 13px; }} th {{ font-weight: 600; }}
tr:nth-child(2n) td {{ background: #f6f8fa; }}
code {{ font: 85% ui-monospace, "DejaVu Sans Mono", monospace; background: #818b981f; padding: .2em .4em;
  border-radius: 6px; white-space: break-spaces; }}
pre {{ background: #f6f8fa; padding: 16px; border-radius: 6px; overflow: auto; line-height: 1.45; }}
pre code {{ background: none; padding: 0; white-space: pre; }}
blockquote {{ margin: 0 0 16px; padding: 0 1em; color: #59636e; border-left: .25em solid #d1d9e0; }}
blockquote.alert {{ border-color: #9a6700; color: inherit; }} blockquote.alert b {{ color: #9a6700; }}
details {{ margin-bottom: 16px; }} summary {{ cursor: pointer; }}
</style><body>{}"""


class Looking(GitForge, frozen=True):
    """A forge that shows a proposal to whoever asked for it, and writes nothing."""

    seen: list[Proposal] = []

    def open(self, proposal: Proposal) -> PullRequest:
        self.seen.append(proposal)
        return PullRequest(
            branch=proposal.branch,
            commit=proposal.base,
            base=proposal.base,
            path=proposal.path,
            message=proposal.message,
        )


def page(markdown: str) -> str:
    """An HTML page of Markdown as GitHub reads it; its alerts, which the parser does not know, by hand."""
    html = cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE)
    html = re.sub(
        r"<blockquote>\s*<p>\[!(\w+)\]\s*(?:<br />)?",
        lambda found: f'<blockquote class="alert"><p><b>⚠ {found[1].capitalize()}</b></p><p>',
        html,
    )
    return PAGE.format(html)


def picture(markdown: str, file: Path) -> None:
    """Draw it; raises InputError where there is no browser."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise InputError(f"{BROWSERS[0]}: is not here; install it with your system's packages")
    with tempfile.TemporaryDirectory(prefix="review-") as folder:
        source, drawn = Path(folder) / "page.html", Path(folder) / "page.png"
        source.write_text(page(markdown), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        options += [f"--user-data-dir={folder}/profile", f"--screenshot={drawn}", f"--window-size={WIDTH},{HEIGHT}"]
        subprocess.run([browser, *options, source.as_uri()], check=True, capture_output=True, timeout=120)
        whole = Image.open(drawn).convert("RGB")
        _, _, _, bottom = ImageChops.difference(whole, Image.new("RGB", whole.size, "white")).getbbox()
        whole.crop((0, 0, WIDTH, min(HEIGHT, bottom + MARGIN))).quantize(64).save(file, optimize=True)


def body(repository: Path, image: str, environment: str, layout: Path) -> str:
    """The body of the pull request that this promotion would open."""
    git = Git.at(repository)
    forge = Looking(git)
    opened = Layout.open(layout)
    promotion.promote(git, forge, opened, promotion.wanted(opened, environment, image, ""), merge=False)
    if not forge.seen:
        raise InputError(f"{environment}: runs {image} already; nothing would be proposed")
    return forge.seen[-1].body


def back(repository: Path, environment: str, why: str) -> str:
    """The body of the pull request that a rollback would open now."""
    git = Git.at(repository)
    forge = Looking(git)
    rollback.roll_back(git, forge, environment, merge=False, why=why)
    if not forge.seen:
        raise InputError(f"{environment}: has nothing to go back from")
    return forge.seen[-1].body


def main() -> int:
    """Exit code 2 with one line for what cannot be drawn."""
    parser = argparse.ArgumentParser(prog="python -m tests.release.pictures", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path(), help="whose promotion (default: this one)")
    parser.add_argument("--image", default="", help="what would be promoted")
    parser.add_argument("--why", default="", help="what would be rolled back for")
    parser.add_argument("--environment", default="staging", help="to where (default: staging)")
    parser.add_argument("--reports", type=Path, help="of the job summary: a folder")
    parser.add_argument("--to", type=Path, default=Path("docs"), help="where the pictures go (default: docs)")
    asked = parser.parse_args()
    try:
        layout = asked.repository / "data" / "registry"
        pages = {}
        if asked.image:
            pages["review-pull-request"] = body(asked.repository, asked.image, asked.environment, layout)
        if asked.reports:
            pages["review-summary"] = summary.whole(summary.read([asked.reports]))
        if asked.why:
            pages["review-rollback"] = back(asked.repository, asked.environment, asked.why)
        for name, markdown in pages.items():
            picture(markdown, asked.to / f"{name}.png")
            print(asked.to / f"{name}.png")
    except InputError as error:
        print(f"review: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
