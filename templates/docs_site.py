"""The documentation's site: a private bucket, and CloudFront, which alone may read it."""

from __future__ import annotations

from troposphere import (
    AWSHelperFn,
    Equals,
    GetAtt,
    If,
    Join,
    Not,
    NoValue,
    Output,
    Parameter,
    Ref,
    Sub,
    Template,
    cloudfront,
    s3,
)

from atelier.templates import parts

CACHING_OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
"""CloudFront's own policy: compressed, kept as long as objects say, and nothing but the path in the key."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # the drawings and the theme set styles on elements
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

DOMAIN = Parameter(
    "DocsDomain",
    Type="String",
    Default="",
    AllowedPattern=r"^$|^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$",
    ConstraintDescription="a name such as docs.example.com, or empty for CloudFront's own",
    Description="A name of your own for the site; empty for CloudFront's.",
)
CERTIFICATE = Parameter(
    "DocsCertificateArn",
    Type="String",
    Default="",
    AllowedPattern=r"^$|^arn:aws[a-z-]*:acm:us-east-1:\d{12}:certificate/[0-9a-f-]+$",
    ConstraintDescription="the ARN of a certificate in us-east-1, where CloudFront looks for them",
    Description="The certificate of that name, from ACM in us-east-1.",
)
HAS_DOMAIN, HAS_CERTIFICATE = "HasDomain", "HasCertificate"


def template() -> Template:
    """Render the site's stack."""
    t = parts.stack(__doc__ or "", parts.PREFIX, DOMAIN, CERTIFICATE)
    t.add_rule("DomainHasCertificate", parts.together(DOMAIN, CERTIFICATE))
    t.add_condition(HAS_DOMAIN, Not(Equals(Ref(DOMAIN), "")))
    t.add_condition(HAS_CERTIFICATE, Not(Equals(Ref(CERTIFICATE), "")))
    bucket = t.add_resource(pages_bucket())
    access = t.add_resource(access_control())
    headers = t.add_resource(security_headers())
    site = t.add_resource(distribution(bucket, access, headers))
    t.add_resource(only_the_distribution_reads(bucket, site))
    t.add_output(Output("DocsBucketName", Value=Ref(bucket)))
    t.add_output(Output("DocsDistributionId", Value=Ref(site)))
    name: AWSHelperFn = If(HAS_DOMAIN, Ref(DOMAIN), GetAtt(site, "DomainName"))
    t.add_output(Output("DocsUrl", Value=Join("", ["https://", name, "/"])))
    return parts.tagged(t, "docs-site")


def pages_bucket() -> s3.Bucket:
    """Hold the pages; a month of versions brings back what a publication has removed by mistake."""
    return parts.bucket(
        "DocsBucket",
        VersioningConfiguration=s3.VersioningConfiguration(Status="Enabled"),
        LifecycleConfiguration=s3.LifecycleConfiguration(
            Rules=[
                s3.LifecycleRule(
                    Id="ForgetOldPages",
                    Status="Enabled",
                    NoncurrentVersionExpiration=s3.NoncurrentVersionExpiration(NoncurrentDays=30),
                    AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=1),
                )
            ]
        ),
    )


def only_the_distribution_reads(bucket: s3.Bucket, site: cloudfront.Distribution) -> s3.BucketPolicy:
    """Let CloudFront read for this one distribution, over TLS, and nobody else by this policy."""
    policy = parts.tls_only(bucket)
    source = Sub(f"arn:${{AWS::Partition}}:cloudfront::${{AWS::AccountId}}:distribution/${{{site.title}}}")
    policy.PolicyDocument["Statement"].append(
        {
            "Sid": "OnlyTheDistributionReads",
            "Effect": "Allow",
            "Principal": {"Service": "cloudfront.amazonaws.com"},
            "Action": "s3:GetObject",
            "Resource": Join("/", [GetAtt(bucket, "Arn"), "*"]),
            "Condition": {"StringEquals": {"AWS:SourceArn": source}},
        }
    )
    return policy


def access_control() -> cloudfront.OriginAccessControl:
    """Have CloudFront sign what it asks the bucket."""
    return cloudfront.OriginAccessControl(
        "DocsAccess",
        OriginAccessControlConfig=cloudfront.OriginAccessControlConfig(
            Name=Sub("${Prefix}-docs-${AWS::Region}"),
            Description="Reads the bucket of the documentation",
            OriginAccessControlOriginType="s3",
            SigningBehavior="always",
            SigningProtocol="sigv4",
        ),
    )


def security_headers() -> cloudfront.ResponseHeadersPolicy:
    """Let a page load from its own site alone, stand in no frame, and come over TLS only."""
    return cloudfront.ResponseHeadersPolicy(
        "DocsHeaders",
        ResponseHeadersPolicyConfig=cloudfront.ResponseHeadersPolicyConfig(
            Name=Sub("${Prefix}-docs-${AWS::Region}"),
            Comment="What the documentation's pages may do",
            SecurityHeadersConfig=cloudfront.SecurityHeadersConfig(
                ContentSecurityPolicy=cloudfront.ContentSecurityPolicy(
                    ContentSecurityPolicy=CONTENT_SECURITY_POLICY, Override=True
                ),
                ContentTypeOptions=cloudfront.ContentTypeOptions(Override=True),
                FrameOptions=cloudfront.FrameOptions(FrameOption="DENY", Override=True),
                ReferrerPolicy=cloudfront.ReferrerPolicy(
                    ReferrerPolicy="strict-origin-when-cross-origin", Override=True
                ),
                StrictTransportSecurity=cloudfront.StrictTransportSecurity(
                    AccessControlMaxAgeSec=31_536_000, IncludeSubdomains=False, Preload=False, Override=True
                ),
            ),
            CustomHeadersConfig=cloudfront.CustomHeadersConfig(
                Items=[
                    cloudfront.CustomHeader(
                        Header="Permissions-Policy",
                        Value="camera=(), geolocation=(), microphone=()",
                        Override=True,
                    )
                ]
            ),
        ),
    )


def distribution(
    bucket: s3.Bucket, access: cloudfront.OriginAccessControl, headers: cloudfront.ResponseHeadersPolicy
) -> cloudfront.Distribution:
    """Serve the pages to the world."""
    return cloudfront.Distribution(
        "DocsDistribution",
        DistributionConfig=cloudfront.DistributionConfig(
            Comment=Sub("The documentation of ${Prefix}"),
            Enabled=True,
            DefaultRootObject="index.html",
            HttpVersion="http2and3",
            IPV6Enabled=True,
            PriceClass="PriceClass_100",
            Aliases=If(HAS_DOMAIN, [Ref(DOMAIN)], NoValue),
            ViewerCertificate=If(HAS_CERTIFICATE, _certificate(), NoValue),
            Origins=[
                cloudfront.Origin(
                    Id="pages",
                    DomainName=GetAtt(bucket, "RegionalDomainName"),
                    OriginAccessControlId=GetAtt(access, "Id"),
                    S3OriginConfig=cloudfront.S3OriginConfig(OriginAccessIdentity=""),
                )
            ],
            DefaultCacheBehavior=cloudfront.DefaultCacheBehavior(
                TargetOriginId="pages",
                ViewerProtocolPolicy="redirect-to-https",
                AllowedMethods=["GET", "HEAD"],
                CachedMethods=["GET", "HEAD"],
                Compress=True,
                CachePolicyId=CACHING_OPTIMIZED,
                ResponseHeadersPolicyId=Ref(headers),
            ),
            CustomErrorResponses=[_not_found()],
        ),
    )


def _certificate() -> cloudfront.ViewerCertificate:
    return cloudfront.ViewerCertificate(
        AcmCertificateArn=Ref(CERTIFICATE),
        MinimumProtocolVersion="TLSv1.2_2021",
        SslSupportMethod="sni-only",
    )


def _not_found() -> cloudfront.CustomErrorResponse:
    """Show our page for what is not there: S3 says 403 to who may not list the bucket."""
    return cloudfront.CustomErrorResponse(
        ErrorCode=403, ResponseCode=404, ResponsePagePath="/404.html", ErrorCachingMinTTL=10
    )
