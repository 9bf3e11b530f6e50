# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``report.md`` and ``report.html``: all hosts of one run at a glance, the sick ones first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import text
from .verdict import Proof, Step, Verdict

# Order of the rows: what needs somebody now comes first.
_ORDER = {"crash_loop": 0, "failed": 1, "hung": 2, "degraded": 3, "unknown": 4, "healthy": 5}

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--bad:#b3261e;--good:#1e7d34;--dim:#777}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .3rem;border-top:1px solid var(--line);padding-top:1.2rem}
p{margin:.4rem 0}table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}th{font-weight:600}
code,pre{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
pre{background:var(--soft);padding:.5rem .7rem;border-radius:4px;white-space:pre-wrap;margin:.3rem 0}
dl{display:grid;grid-template-columns:8.5rem 1fr;gap:.25rem 1rem;margin:.6rem 0}dt{color:var(--dim)}dd{margin:0;min-width:0}
ul{margin:0;padding-left:1.1rem}.sick{color:var(--bad);font-weight:600}.healthy{color:var(--good);font-weight:600}.dim{color:var(--dim)}
@media(max-width:36rem){dl{grid-template-columns:1fr}dt{margin-top:.4rem}}
@media print{body{max-width:none}}
""".strip().replace("\n", "")


def ordered(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Sick backends first, within that by host and service."""
    return sorted(verdicts, key=lambda one: (_ORDER.get(one.state, 4), one.host, one.service))


def headline(verdicts: Sequence[Verdict], problems: Mapping[str, str]) -> str:
    """The run in one sentence."""
    sick = sum(verdict.sick for verdict in verdicts)
    hosts = len({verdict.host for verdict in verdicts} | set(problems))
    parts = [f"{sick} of {len(verdicts)} backends sick" if verdicts else "no backend diagnosed", f"{hosts} hosts"]
    ends = [str(one.repair["verdict"]).replace("_", " ") for one in verdicts if one.repair.get("verdict")]
    parts[1:1] = [f"{ends.count(end)} {end}" for end in dict.fromkeys(ends)]
    if problems:
        parts.append(f"{len(problems)} hosts with a remark")
    return ", ".join(parts).replace("1 hosts", "1 host") + "."


def markdown_report(verdicts: Sequence[Verdict], problems: Mapping[str, str], made_at: str) -> str:
    """The report for a chat, a ticket or a repository."""
    verdicts = ordered(verdicts)
    lines = ["# Backend diagnosis", "", f"{made_at}: {headline(verdicts, problems)}", ""]
    if verdicts:
        heads = _heads(verdicts)
        lines += ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _head in heads) + " |"]
        for one in verdicts:
            cells = [one.host, one.service, one.state, f"{one.title} ({one.cause})", one.confidence_short]
            cells[3:3] = [_end(one)] if "Repair" in heads else []
            proof = " ".join(_markdown_proof(item) for item in _first_proof(one))
            lines.append("| " + " | ".join([*(text.markdown(cell) for cell in cells), proof]) + " |")
    if problems:
        lines += ["", "## Remarks on hosts", ""]
        lines += [f"- {text.markdown(sentence)}" for _host, sentence in sorted(problems.items())]
    for one in verdicts:
        lines += ["", f"## {text.markdown(one.host)} / {text.markdown(one.service)}", ""]
        lines += [f"- **{name}:** {text.markdown(value)}" for name, value in _facts(one)]
        lines += _markdown_list("Evidence", (_markdown_proof(proof) for proof in one.proofs))
        lines += _markdown_list("Against it", (_markdown_proof(proof) for proof in one.against))
        lines += _markdown_list("Next", (_markdown_step(step) for step in one.next_steps))
        for name, items in _lists(one):
            lines += _markdown_list(name, (text.markdown(item) for item in items))
        lines.append(f"- **Files:** {text.code_span(one.directory)}")
    return "\n".join(lines) + "\n"


def html_report(verdicts: Sequence[Verdict], problems: Mapping[str, str], made_at: str) -> str:
    """The report for a browser: one file, no script, nothing loaded from anywhere."""
    verdicts = ordered(verdicts)
    heads = _heads(verdicts)
    rows = "".join(
        f'<tr><td>{text.escape(one.host)}</td><td><a href="#b{at}">{text.escape(one.service)}</a></td>'
        f'<td class="{_mood(one)}">{text.escape(one.state)}</td>'
        + (f'<td class="{_end_mood(one)}">{text.escape(_end(one))}</td>' if "Repair" in heads else "")
        + f"<td>{text.escape(one.title)} <code>{text.escape(one.cause)}</code></td><td>{text.escape(one.confidence_short)}</td>"
        f"<td>{''.join(_html_proof(item) for item in _first_proof(one))}</td></tr>"
        for at, one in enumerate(verdicts)
    )
    row = "".join(f"<th>{name}</th>" for name in heads)
    table = f"<table><thead><tr>{row}</tr></thead><tbody>{rows}</tbody></table>"
    troubles = "".join(
        f"<li>{text.escape(text.one_line(sentence))}</li>" for _host, sentence in sorted(problems.items())
    )
    body = [
        f"<h1>Backend diagnosis</h1><p>{text.escape(made_at)}: {text.escape(headline(verdicts, problems))}</p>",
        table if verdicts else "",
        f"<h2>Remarks on hosts</h2><ul>{troubles}</ul>" if troubles else "",
        *(_html_backend(at, one) for at, one in enumerate(verdicts)),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Backend diagnosis</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(filter(None, body)) + "\n</body></html>\n"
    )


def _heads(verdicts: Sequence[Verdict]) -> list[str]:
    """The columns of the table; that of the repair only where one was tried."""
    heads = ["Host", "Backend", "State", "Cause", "Confidence", "Proof"]
    heads[3:3] = ["Repair"] if any(one.repaired for one in verdicts) else []
    return heads


def _end(one: Verdict) -> str:
    return str(one.repair.get("verdict") or "").replace("_", " ")


def _end_mood(one: Verdict) -> str:
    return {"healed": "healthy", "nothing_to_do": "healthy"}.get(str(one.repair.get("verdict")), "sick")


def _facts(one: Verdict) -> list[tuple[str, str]]:
    pairs = (
        ("State", one.state_line),
        ("Repair", one.repaired),
        ("Cause", f"{one.title} ({one.cause})"),
        ("Confidence", one.confidence_text),
        ("About", one.subject),
        ("Why", one.explanation),
    )
    return [(name, value) for name, value in pairs if value]


def _lists(one: Verdict) -> list[tuple[str, tuple[str, ...]]]:
    pairs = (
        ("As well", one.contributing),
        ("Follows from it", one.symptoms),
        ("Other candidates", one.candidates[1:]),
        ("Ruled out", one.ruled_out),
        ("Not seen", one.unseen),
    )
    return [(name, items) for name, items in pairs if items]


def _mood(one: Verdict) -> str:
    return "sick" if one.sick else "healthy" if one.state == "healthy" else "dim"


def _markdown_list(name: str, items: Iterable[str]) -> list[str]:
    lines = [f"  - {item}" for item in items]
    return [f"- **{name}:**", *lines] if lines else []


def _first_proof(one: Verdict) -> Sequence[Proof]:
    """What proves a sick backend's cause best; a well one needs none at a glance."""
    return one.proofs[:1] if one.sick else ()


def _markdown_proof(proof: Proof) -> str:
    if proof.fact and proof.quote:
        return f"{text.markdown(proof.quote)} ({text.code_span(proof.place)})"
    return " ".join(text.code_span(value) for value in (proof.place, proof.quote) if value)


def _html_proof(proof: Proof) -> str:
    """A fact is a sentence with its place behind it, a line is code with its place above it."""
    place = text.escape(proof.place)
    if proof.fact and proof.quote:
        return f'{text.escape(proof.quote)} <code class="dim">{place}</code>'
    return f"<code>{place}</code><br><code><b>{text.escape(proof.quote)}</b></code>"


def _markdown_step(step: Step) -> str:
    return text.markdown(step.text) if step.kind == "words" else text.code_span(step.text)


def _html_backend(at: int, one: Verdict) -> str:
    def entry(name: str, content: str) -> str:
        return f"<dt>{name}</dt><dd>{content}</dd>" if content else ""

    def bullets(items: Sequence[Any]) -> str:
        return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>" if items else ""

    def proofs(items: Sequence[Proof]) -> str:
        return bullets([_html_proof(item) for item in items])

    steps = [
        f"<p>{text.escape(step.text)}</p>" if step.kind == "words" else f"<pre>{text.escape(step.text)}</pre>"
        for step in one.next_steps
    ]
    return (
        f'<h2 id="b{at}">{text.escape(one.host)} / {text.escape(one.service)} '
        f'<span class="{_mood(one)}">{text.escape(one.state)}</span></h2><dl>'
        + "".join(entry(name, text.escape(value)) for name, value in _facts(one))
        + entry("Evidence", proofs(one.proofs))
        + entry("Against it", proofs(one.against))
        + entry("Next", "".join(steps))
        + "".join(entry(name, bullets([text.escape(item) for item in items])) for name, items in _lists(one))
        + entry(
            "Files",
            f'<a href="{text.escape(one.directory)}/00-SUMMARY.txt"><code>{text.escape(one.directory)}/</code></a>',
        )
        + "</dl>"
    )
