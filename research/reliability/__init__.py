"""Campaigns that try to break what we write, read and serve: kills, damage, odd inputs, versions, long runs.

``python -m research.reliability NAME n=...`` runs one and writes ``eval/reports/reliability/NAME.json``; those against
`serve` are modules of their own. See ``docs/security.md``.
"""
