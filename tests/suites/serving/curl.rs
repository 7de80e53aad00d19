//! curl under the eyes of the tests: a client by others, with OpenSSL's view of certificates.

use std::path::Path;
use std::process::Command;

use consign_tests::site::Served;

/// curl on its way to a path of a registry, by the name `registry.site`, which leads to loopback.
pub(crate) struct Curl(Command);

impl Curl {
    /// Over TLS, trusting what is in a file.
    pub(crate) fn trusting(authority: &Path) -> Self {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "60", "--cacert"]).arg(authority);
        Curl(command)
    }

    pub(crate) fn user(mut self, pair: &str) -> Self {
        self.0.args(["--user", pair]);
        self
    }

    /// The status, or what curl says when there is none.
    pub(crate) fn status(mut self, served: &Served, path: &str) -> Result<u16, String> {
        let port = served.port();
        self.0.args(["--output", "/dev/null", "--write-out", "%{http_code}", "--connect-to"]);
        self.0.arg(format!("::127.0.0.1:{port}")).arg(format!("https://registry.site:{port}{path}"));
        let output = self.0.output().expect("curl");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said.parse().expect("a status"));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
