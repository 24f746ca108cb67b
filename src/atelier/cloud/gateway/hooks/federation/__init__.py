"""Web identity: providers of OpenID Connect, their tokens, and roles taken with one."""
