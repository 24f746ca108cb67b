"""CodePipeline V2 in SUPERSEDED mode: a pure core (declaration, runs, schedule) in a thin shell."""
