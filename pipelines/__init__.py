"""CodePipelines, one module per pipeline."""
