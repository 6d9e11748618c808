//! `--uploads` and what belongs to it: where files may arrive, from whom, and how many.

use super::{Size, Span, Switch};
use clap::Args;
use std::path::PathBuf;

/// What is said of uploads, as typed.
#[derive(Debug, Args)]
pub struct UploadArguments {
    /// Take uploads (PUT, and resumable ones) into this directory beneath DIR; . for all of it
    /// (docs/uploads.md) [default: none are taken]
    #[arg(long, value_name = "PATH", help_heading = "Uploads")]
    pub uploads: Option<PathBuf>,

    /// Who may upload: a file of lines NAME HASH, as sendrail token NAME makes them; none: everybody who
    /// can connect. There is no default: --uploads needs one of the two
    #[arg(long, value_name = "FILE|none", help_heading = "Uploads")]
    pub upload_auth: Option<PathBuf>,

    /// The largest file that is taken
    #[arg(long, value_name = "SIZE", default_value = "16g", help_heading = "Uploads")]
    pub upload_max: Size,

    /// The most that all files in the directory of uploads may take together, unfinished ones included
    /// [default: no limit but the disk's]
    #[arg(long, value_name = "SIZE", help_heading = "Uploads")]
    pub upload_quota: Option<Size>,

    /// What must remain free on the disk
    #[arg(long, value_name = "SIZE", default_value = "1g", help_heading = "Uploads")]
    pub upload_reserve: Size,

    /// Whether a file is on the disk before it is acknowledged (fsync(2)), so that a power failure
    /// takes nothing that was acknowledged
    #[arg(long, value_enum, default_value_t = Switch::On, help_heading = "Uploads")]
    pub upload_sync: Switch,

    /// How long an unfinished resumable upload is kept after its last byte
    #[arg(long, value_name = "DURATION", default_value = "24h", help_heading = "Uploads")]
    pub upload_keep: Span,

    /// For a sender that sends nothing, or less than --min-send-rate over that time
    #[arg(long, value_name = "DURATION", default_value = "60s", help_heading = "Uploads")]
    pub upload_idle: Span,
}

/// `sendrail token`, as typed.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the line for the file of --upload-auth on standard output, and the token on standard error:
  sendrail token alice >> tokens
  sendrail serve DIR --uploads . --upload-auth tokens
  curl -u alice:TOKEN -T file http://127.0.0.1:8080/file")]
pub struct TokenArguments {
    /// Who it is for: letters, digits, '.', '_' and '-'
    pub name: String,
}
