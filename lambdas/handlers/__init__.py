"""Entry points: decode, call one service, encode; a handler decides nothing."""
