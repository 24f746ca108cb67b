"""CloudFormation types of ministack: what we vouch for, refusals, and what its provisioners leave out."""
