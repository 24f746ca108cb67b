"""S3 bodies on disk: they stream in and out, and ministack handles them without holding them."""
