"""The gateways' rate limits: so many tokens a millisecond up to a limit, and what a request takes of them
(docs.deribit.com, Starbase rate limits).
"""

MESSAGE_TOKENS = 2000  # a new order, an amend, a cancel, a mass quote
QUOTE_CANCEL_TOKENS = 100
PER_MS = 100  # the venue's defaults: 50 orders a second, 50 at once
TOKENS_MAX = 100_000
QUOTES_PER_MS = 20  # of mass quotes: 10 a second, 10 at once
QUOTE_TOKENS_MAX = 20_000
