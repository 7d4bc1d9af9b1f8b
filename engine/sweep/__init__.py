"""Many settings of one configuration, each a backtest of its own, on the cores of one machine or of several.

`space` says which settings, `plan` what a sweep is, `work` runs one set in a worker, `rows` keeps what came of it,
`cluster` and `drive` have them run, `search` chooses them; `overfitting`, `walk_forward`, `surface` and `page` judge.
"""
