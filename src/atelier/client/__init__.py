"""What the CLI, the demo and notebooks call: the deployed product, through boto3."""
