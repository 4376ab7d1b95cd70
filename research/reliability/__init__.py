"""Campaigns that try to break what runs long: their figures are in ``eval/reports/reliability``."""
