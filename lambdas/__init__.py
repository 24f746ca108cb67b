"""What runs in Lambda; with the contract the only first-party code in the function zip."""
