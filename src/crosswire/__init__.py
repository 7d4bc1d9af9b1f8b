"""Crosswire: a cross-exchange arbitrage engine for crypto derivatives, one compiled loop from wire to wire."""
