"""One module or package per AWS service that ministack lacks or only pretends; one form over `wire`."""
