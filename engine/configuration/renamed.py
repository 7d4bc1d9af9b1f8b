"""What keys of a configuration were called before version 1, when bounds got their `_max` and `_min` last."""

RENAMED: dict[tuple[str, ...], dict[str, str]] = {  # by table, "*" for any name
    ("limits",): {"max_loss": "loss_max"},
    ("limits", "underlying", "*"): {"max_gross": "gross_max", "max_net": "net_max"},
    ("venue", "limits"): {"max_open_orders": "open_orders_max"},
    ("venue", "instrument"): {"max_levels": "levels_max"},
    ("venue", "instrument", "limits"): {
        "max_order": "order_max",
        "max_order_notional": "order_notional_max",
        "max_position": "position_max",
        "max_price": "price_max",
        "max_book_age_ms": "book_age_max_ms",
    },
    ("strategy", "parameters"): {  # of those that come with Crosswire
        "max_size": "size_max",
        "min_size": "size_min",
        "max_position": "position_max",
        "max_unwind_loss_bps": "unwind_loss_max_bps",
        "max_open_trades": "open_trades_max",
        "max_book_age_ms": "book_age_max_ms",
        "min_edge_bps": "edge_min_bps",
        "max_hold_s": "hold_max_s",
    },
}
NEW_NAMES = {old: new for names in RENAMED.values() for old, new in names.items()}


def renamed(table: tuple[str, ...], name: str) -> str:
    """Say what a key of a table is called now; "" if it always was."""
    for pattern, names in RENAMED.items():
        if len(pattern) == len(table) and all(one in ("*", other) for one, other in zip(pattern, table, strict=True)):
            return names.get(name, "")
    return ""
