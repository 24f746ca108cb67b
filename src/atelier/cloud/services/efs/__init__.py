"""EFS: file systems that are folders of this machine, entered by access points that are enforced."""
