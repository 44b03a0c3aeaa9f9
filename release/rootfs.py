"""A root file system that holds Python, what it loads, and nothing else: no shell, no pip, no package manager.

    python rootfs.py PACKAGES TARGET

Run by serving/Dockerfile inside the base image, by its Python and the standard library alone. The packages folder is
thinned out and compiled in place; TARGET gets the interpreter, the standard library, every shared library that these
or the packages load, certificates, one user, and the base's own record of the packages that the files came from, so
that scanners know them. Works on any glibc base; the record is dpkg's, and left out where there is none.
"""

import compileall
import os
import py_compile
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

USER = 10001
STANDARD_LIBRARY = Path(os.__file__).parent
# Of the standard library: what installs, builds, tests or draws windows.
LEFT_OUT = {
    *("__pycache__", "site-packages", "dist-packages", "EXTERNALLY-MANAGED", "sitecustomize.py"),
    *("distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "tkinter", "turtledemo", "venv"),
}
# Modules in C, whose libraries would come along: terminals, databases, sound, and what tests Python itself.
MODULES_LEFT_OUT = re.compile(
    r"(_curses\w*|readline|_sqlite3|_g?dbm|_tkinter|nis|ossaudiodev|audioop|_crypt|_?xx\w*|_test\w*|_ctypes_test)\."
)
# Of the packages: what a compiler, a type checker or a test would want, and onnxruntime's tools for making models.
SUFFIXES_LEFT_OUT = {".a", ".c", ".cc", ".cpp", ".f", ".f90", ".h", ".hpp", ".lib", ".pxd", ".pyi", ".pyx"}
FOLDERS_LEFT_OUT = (
    *("*/tests", "*/*/tests", "*/*/*/tests", "*/*/*/*/tests", "bin", "*/__pycache__"),
    *(f"onnxruntime/{name}" for name in ("backend", "datasets", "quantization", "tools", "transformers")),
)
# Loaded by name, so that no loader lists them: names of hosts (in libc itself since 2.34) and the end of threads.
LOADED_BY_NAME = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")
PROGRAMS = (Path("/usr/local/bin"), Path("/usr/bin"))  # the PATH of serving/Dockerfile
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
DPKG = Path("/var/lib/dpkg")


class Root:
    """The file system that is made, and what has gone into it so far."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.taken: set[Path] = set()

    def take(self, path: Path) -> None:
        """Copy a file under its own name, with every symbolic link on the way to it; no mode grants more than 755."""
        here, rest = Path("/"), list(path.parts[1:])
        while rest:
            name = rest.pop(0)
            here = here.parent if name == ".." else here / name
            place = self.target / here.relative_to("/")
            if here.is_symlink():
                link = here.readlink()
                if not place.is_symlink():
                    place.symlink_to(link)
                rest = [*(link.parts[1:] if link.is_absolute() else link.parts), *rest]
                here = Path("/") if link.is_absolute() else here.parent
            elif here.is_dir():
                place.mkdir(mode=0o755, exist_ok=True)
            elif here.exists() and here not in self.taken:
                shutil.copyfile(here, place)
                place.chmod(here.stat().st_mode & 0o755)
                self.taken.add(here)

    def write(self, path: str, text: str) -> None:
        """Put a file of our own there."""
        place = self.target / path
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        place.chmod(0o644)

    def link(self, path: str, to: Path) -> None:
        """Put a symbolic link of our own there, unless the name is taken."""
        place = self.target / path
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not os.path.lexists(place):
            place.symlink_to(to)


def thin(packages: Path) -> None:
    """Remove from the packages what only a build, a type checker or a test would use, and compile the rest."""
    for pattern in FOLDERS_LEFT_OUT:
        for folder in packages.glob(pattern):
            shutil.rmtree(folder)
    for file in packages.rglob("*"):
        if file.suffix in SUFFIXES_LEFT_OUT and file.is_file():
            file.unlink()
    _compile(packages, Path())


def python(root: Root) -> None:
    """The interpreter under the names it goes by, and its standard library."""
    interpreter = Path(sys.executable)
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        if (interpreter.parent / name).exists():
            root.take(interpreter.parent / name)
    root.take(interpreter)
    if interpreter.parent not in PROGRAMS or not (interpreter.parent / "python").exists():
        root.link("usr/bin/python", interpreter)  # what the image's entry point calls
    for file in _standard_library():
        root.take(file)
    _compile(root.target / STANDARD_LIBRARY.relative_to("/"), root.target)


def libraries(root: Root, packages: Path) -> None:
    """Every shared library that the interpreter, its modules or the packages load, and the loader itself."""
    modules = [file for file in _standard_library() if ".so" in file.suffixes]
    ours = [file for file in packages.rglob("*") if ".so" in file.suffixes and file.is_file()]
    wanted = {library for file in (Path(sys.executable), *modules, *ours) for library in _loads(file)}
    folders = {library.parent for library in wanted}
    wanted.update(folder / name for folder in folders for name in LOADED_BY_NAME)
    for library in sorted(wanted):
        if not library.is_relative_to(packages) and library.exists():
            root.take(library)
    root.take(Path("/etc/ld.so.cache"))  # where the loader finds what lies in /usr/local/lib


def surroundings(root: Root) -> None:
    """What a program expects around it: a user, names, certificates, the system's name, a place for scratch files."""
    root.write("etc/passwd", f"root:x:0:0:root:/:/none\nserver:x:{USER}:{USER}:server:/:/none\n")
    root.write("etc/group", f"root:x:0:\nserver:x:{USER}:\n")
    root.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    root.take(Path("/etc/os-release"))
    found = ssl.get_default_verify_paths().cafile
    if CERTIFICATES.exists() or found:
        root.take(CERTIFICATES if CERTIFICATES.exists() else Path(str(found)))
    (root.target / "tmp").mkdir()
    (root.target / "tmp").chmod(0o1777)


def record(root: Root) -> None:
    """What dpkg knows of the packages whose files were taken, one file each as scanners read it, and their licences."""
    if not (DPKG / "status").exists():
        return
    owners: dict[str, str] = {}
    for listing in sorted((DPKG / "info").glob("*.list")):
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            owners[line] = listing.stem.partition(":")[0]
    taken = {name for file in root.taken for name in (str(file), str(file).removeprefix("/usr"), f"/usr{file}")}
    names = {owners[name] for name in taken if name in owners}
    names |= {"ca-certificates"} if CERTIFICATES in root.taken else set()  # made by it, listed nowhere
    for stanza in (DPKG / "status").read_text(encoding="utf-8").split("\n\n"):
        found = re.search(r"^Package: (.+)$", stanza, re.MULTILINE)
        if found and found[1] in names:
            root.write(f"var/lib/dpkg/status.d/{found[1]}", f"{stanza.strip()}\n")
            root.take(Path("/usr/share/doc") / found[1] / "copyright")


def _standard_library() -> Iterator[Path]:
    for folder, folders, files in os.walk(STANDARD_LIBRARY):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("config-"))
        for name in sorted(files):
            if name not in LEFT_OUT and not (Path(folder).name == "lib-dynload" and MODULES_LEFT_OUT.match(name)):
                yield Path(folder) / name


def _loads(file: Path) -> Iterable[Path]:
    said = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
    if missing := re.findall(r"^\s*(\S+) => not found", said, re.MULTILINE):
        raise SystemExit(f"{file}: wants {', '.join(missing)}, which the base image lacks; take another BASE")
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", said)]


def _compile(folder: Path, root: Path) -> None:
    """Byte code that is never checked against its source: times change when layers are made, contents do not."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    strip = {"stripdir": str(root), "prependdir": "/"} if root.parts else {}
    compileall.compile_dir(str(folder), maxlevels=20, quiet=2, invalidation_mode=mode, workers=1, **strip)  # type: ignore[arg-type]


def main() -> None:
    """Thin out the packages, make the root file system."""
    packages, target = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    os.umask(0o022)
    target.mkdir(parents=True)
    thin(packages)
    root = Root(target)
    python(root)
    libraries(root, packages)
    surroundings(root)
    record(root)


if __name__ == "__main__":
    main()
