"""AWS behind the ports; boto3's errors become ours here, and nowhere else."""
