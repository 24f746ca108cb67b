"""CloudFront's viewers: ministack's requests to origins, behind a cache of our own."""
