"""Runs as spans: OpenTelemetry's GenAI names beside OpenInference's, from the ledger's rows."""
