"""CodeCommit: bare git repositories on disk; a plain `git push` to their path becomes an event."""
