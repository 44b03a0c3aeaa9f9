"""Monitoring, tried: detection times with promtool, and a real Prometheus on the real server."""
