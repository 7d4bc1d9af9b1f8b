"""What `strategies.maker_taker` is made of: its state, one side of its quotes, where they should stand, its fills."""
