"""Tuning models with equal budgets: studies through Optuna, and their trials as cells."""
