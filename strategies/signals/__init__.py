"""What strategies judge by: small functions over books, trades and samples, in integers (docs/signals.md)."""
