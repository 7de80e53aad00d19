//! The files of this repository that are made from its types: `schemas/` and `docs/cli.md`.
//!
//! Made here because only the tests see every crate. `cargo xtask schemas` and `cargo xtask docs` write them,
//! the suite `house` holds them against what is checked in.

use std::path::{Path, PathBuf};

mod fields;

use clap::CommandFactory as _;
use consign_format::carriage::Carriage;
use consign_format::enrolment::EnrolRequest;
use consign_format::kit::Kit;
use consign_format::receipt::Receipt;
use consign_format::release::ReleaseManifest;
use consign_format::trust::scan::ScanAttestation;
use consign_format::trust::statement::{DowngradeGrant, SiteRecord};
use consign_terminal::ErrorDocument;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

/// One generated file.
pub struct Generated {
    /// Its path in the repository.
    pub path: String,
    /// All of its bytes.
    pub text: String,
}

/// The JSON Schemas (draft 2020-12) of everything that people and programs write or read.
pub fn schemas() -> Vec<Generated> {
    vec![
        schema::<consign_bundler::config::ReleaseFile>("release"),
        schema::<consign_bundler::lock::Lock>("lock"),
        schema::<ReleaseManifest>("release-manifest"),
        schema::<Carriage>("carriage"),
        schema::<Receipt>("receipt"),
        schema::<SiteRecord>("site-record"),
        schema::<DowngradeGrant>("downgrade-grant"),
        schema::<EnrolRequest>("enrol-request"),
        schema::<Kit>("site-kit"),
        schema::<ErrorDocument>("error"),
        schema::<consign_bundler::gate::Report>("verify-report"),
        schema::<consign_bundler::policy::PolicyFile>("verify-policy"),
        schema::<consign_bundler::unpack::Listing>("unpacked"),
        schema::<consign_bundler::split::Split>("split"),
        schema::<consign_bundler::join::Joined>("join"),
        schema::<ScanAttestation>("scan-attestation"),
    ]
}

/// The page that describes both command lines, and the tables of fields inside other pages.
pub fn docs() -> Vec<Generated> {
    let mut text = String::from(
        "# Command line\n\nMade from the programs by `cargo xtask docs`. Every command takes `--json`; \
         exit codes and errors: [errors](errors.md).\n\n",
    );
    text += &consign_terminal::markdown(&consign_bundler::cli::Cli::command());
    text += &consign_terminal::markdown(&consign_installer::cli::Cli::command());
    let text = text.trim_end().to_owned() + "\n";
    vec![
        Generated { path: "docs/cli.md".to_owned(), text },
        with_table::<consign_bundler::config::ReleaseFile>("docs/release-yaml.md"),
        with_table::<consign_bundler::policy::PolicyFile>("docs/verify-in-ci.md"),
    ]
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository").to_owned()
}

/// A page with everything between its two markers made anew.
fn with_table<T: JsonSchema>(path: &str) -> Generated {
    let page = std::fs::read_to_string(root().join(path)).expect("a page of the docs");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a marker where its table begins");
    let (_, after) = rest.split_once(END).expect("the page has a marker where its table ends");
    let table = fields::table(schema_of::<T>().as_value());
    Generated { path: path.to_owned(), text: format!("{before}{BEGIN}\n\n{table}\n{END}{after}") }
}

/// What stands around a table that is made from a type.
const BEGIN: &str = "<!-- made from the types by `cargo xtask docs` -->";
const END: &str = "<!-- end of what is made from the types -->";

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<T>()
}

fn schema<T: JsonSchema>(name: &str) -> Generated {
    let mut schema = schema_of::<T>();
    schema.insert("$id".to_owned(), format!("https://consign.dev/schemas/{name}.json").into());
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    Generated { path: format!("schemas/{name}.json"), text: text + "\n" }
}
