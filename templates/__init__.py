"""CloudFormation, one module per stack; what a template is made of depends on nothing but its own text."""
