"""The words that both sides of a wire agree on; standard library only, so that everyone may import it."""
