"""An audit as files to keep: JSON, Markdown, and a page that needs nothing beside it."""

from pathlib import Path

from toolkit_common.audit.audit import Audit
from toolkit_common.audit.shown.audit_page import audit_page
from toolkit_common.audit.shown.facts import audit_json, facts_line, tables, verdict
from toolkit_common.pages.paste import markdown_table
from toolkit_common.printable import markdown
from toolkit_common.runs.files import atomic_folder, write_json, write_text

JSON, MARKDOWN, PAGE = "audit.json", "audit.md", "audit.html"


def write_audit(folder: Path, audit: Audit) -> list[Path]:
    """Write an audit into a new folder and return its files, the page first."""
    with atomic_folder(folder) as temporary:
        write_json(temporary / JSON, audit_json(audit))
        write_text(temporary / MARKDOWN, audit_markdown(audit))
        write_text(temporary / PAGE, audit_page(audit))
    return [folder / name for name in (PAGE, MARKDOWN, JSON)]


def audit_markdown(audit: Audit) -> str:
    """Return an audit as Markdown; what comes from the data is no markup there."""
    lines = [f"# {markdown(verdict(audit))}", "", markdown(facts_line(audit)), ""]
    lines += [
        f"- **{item.severity}** ({markdown(item.kind)}): {markdown(item.text)}"
        for item in audit.findings
    ]
    for table in tables(audit):
        align = "l" * len(table.names) + "r" * len(table.figures)
        lines += ["", f"## {table.title}", "", f"{table.thresholds}.", ""]
        lines += [markdown_table([*table.names, *table.figures], table.rows, align=align)]
    return "\n".join(lines) + "\n"
