"""CodeBuild: builds that really run, as processes of this machine's user.

What CodePipeline sends to StartBuild (with the credentials of the action's or the pipeline's role) for a
project whose source and artifacts are of type CODEPIPELINE:

    projectName=...,
    idempotencyToken=<action execution id>     # asked again, the same build is answered
    sourceLocationOverride="bucket/key"        # the input artifact; also "arn:aws:s3:::bucket/key"
    sourceVersion="<commit>"                   # becomes CODEBUILD_RESOLVED_SOURCE_VERSION
    secondarySourcesOverride=[{"type": "CODEPIPELINE", "location": "bucket/key", "sourceIdentifier": "Data"}]
                                               # CODEBUILD_SRC_DIR_Data
    artifactsOverride={"type": "CODEPIPELINE", "location": "bucket", "path": "prefix", "name": "key",
                       "packaging": "ZIP"}     # written to s3://bucket/prefix/key, exactly that key
                                               # {"type": "NO_ARTIFACTS"}: nothing, or secondary ones only
    secondaryArtifactsOverride=[{... as above, "artifactIdentifier": "Templates"}]
    environmentVariablesOverride=[{"name", "value", "type"}]

`sourceTypeOverride="S3"` and artifacts of type S3 are taken as well; then `sourceVersion` is the object's
version. Zips keep modes and symbolic links that stay inside (`git archive --format=zip` writes them). The
initiator of such a build is ``codepipeline/`` and the caller's session name, so that session is best named
like the pipeline. The build ends with `buildStatus` other than IN_PROGRESS; then its log, its artifacts and
`exportedEnvironmentVariables` are complete, and the phase that failed says why in its `contexts`.
"""
