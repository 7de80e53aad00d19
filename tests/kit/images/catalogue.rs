//! Which images there are, what they are made of, and what names they go by. Any change here makes a new cache.

/// A file system made of Debian packages, that images stand on.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) name: &'static str,
    /// Installed with all that they depend on; what the bottom layer has already is not repeated.
    pub(super) packages: &'static [&'static str],
    /// Whether it stands on the bottom layer; what is linked statically needs none.
    pub(super) on_bottom: bool,
}

/// The first is the bottom layer.
pub(super) const BASES: &[Base] = &[
    Base {
        name: "base",
        packages: &["bash", "coreutils", "dash", "base-files", "base-passwd", "ca-certificates"],
        on_bottom: false,
    },
    Base { name: "nginx", packages: &["nginx-light"], on_bottom: true },
    Base { name: "postgres", packages: &["postgresql-15"], on_bottom: true },
    Base { name: "python", packages: &["python3-numpy"], on_bottom: true },
    Base { name: "java", packages: &["openjdk-17-jre-headless"], on_bottom: true },
    Base { name: "node", packages: &["nodejs"], on_bottom: true },
    Base { name: "redis", packages: &["redis-server"], on_bottom: true },
    Base { name: "git", packages: &["git"], on_bottom: true },
    Base { name: "busybox", packages: &["busybox-static"], on_bottom: false },
];

/// In what form an image lies in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An OCI manifest, made by umoci.
    Oci,
    /// Docker's schema 2, made by skopeo out of an OCI one.
    Docker,
    /// An OCI index over two platforms, `linux/amd64` and `linux/arm64`.
    Index,
    /// An OCI manifest with an SBOM that refers to it (OCI 1.1) and a `sha256-….sig` tag as cosign makes it.
    Signed,
}

/// An image under the name that manifests call it by.
#[derive(Debug)]
pub struct Image {
    /// Host, repository and tag in full, such as `docker.io/library/nginx:1.22`.
    pub reference: &'static str,
    /// Its form.
    pub form: Form,
    pub(super) base: &'static str,
}

const fn image(reference: &'static str, base: &'static str, form: Form) -> Image {
    Image { reference, form, base }
}

/// Every image of `fixtures/sample` and of the manifests that other projects publish.
pub const IMAGES: &[Image] = &[
    // fixtures/sample
    image("docker.io/library/nginx:1.22", "nginx", Form::Docker),
    image("docker.io/library/postgres:15", "postgres", Form::Oci),
    image("docker.io/library/busybox:1.38.0", "busybox", Form::Index),
    image("quay.io/lumen/archive:2.3.1", "python", Form::Signed),
    image("ghcr.io/lumen/router:1.9", "java", Form::Oci),
    image("ghcr.io/lumen/node-agent:0.4", "busybox", Form::Oci),
    image("registry.lumen.example/models/nodule:7", "python", Form::Oci),
    // Argo CD
    image("quay.io/argoproj/argocd:latest", "git", Form::Oci),
    image("public.ecr.aws/docker/library/redis:8.10.1-alpine", "redis", Form::Docker),
    // Online Boutique
    image("docker.io/library/redis:alpine", "redis", Form::Oci),
    image("us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/frontend:v0.10.6", "nginx", Form::Oci),
    image("us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/adservice:v0.10.6", "java", Form::Oci),
    image(
        "us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/currencyservice:v0.10.6",
        "node",
        Form::Oci,
    ),
    image("us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/cartservice:v0.10.6", "base", Form::Oci),
    image(
        "us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/loadgenerator:v0.10.6",
        "python",
        Form::Oci,
    ),
    image(
        "us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/recommendationservice:v0.10.6",
        "python",
        Form::Oci,
    ),
    image(
        "us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/checkoutservice:v0.10.6",
        "base",
        Form::Oci,
    ),
    image("us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/emailservice:v0.10.6", "python", Form::Oci),
    image("us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/paymentservice:v0.10.6", "node", Form::Oci),
    image(
        "us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/shippingservice:v0.10.6",
        "base",
        Form::Oci,
    ),
    image(
        "us-central1-docker.pkg.dev/online-boutique-ci/microservices-demo/productcatalogservice:v0.10.6",
        "base",
        Form::Oci,
    ),
];
