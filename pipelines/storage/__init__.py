"""Objects of a bucket: in S3, or in a folder on one machine."""
