"""What each action type does: boto3 calls as the action's role."""
