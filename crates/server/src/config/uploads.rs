//! What was said of uploads, checked: the directory is open and can be written to, and it is known who may.

use super::{Limits, Problem};
use crate::{
    cli::UploadArguments,
    uploads::{Uploads, Who, place::Place, tokens::Tokens},
};
use sendrail_files::{Ground, LandingOptions};
use std::{
    os::unix::ffi::OsStrExt,
    path::{Component, Path},
    sync::Arc,
};

impl UploadArguments {
    /// Makes ready what is needed to take uploads beneath `root`, if any are to be taken.
    ///
    /// # Errors
    ///
    /// What was said makes no sense, among itself or there.
    pub fn check(
        &self,
        ground: &Arc<Ground>,
        limits: &Limits,
    ) -> Result<Option<Arc<Uploads>>, Problem> {
        let Some(path) = &self.uploads else {
            return match &self.upload_auth {
                Some(_) => {
                    Err(Problem::new("--upload-auth: no uploads are taken without --uploads"))
                }
                None => Ok(None),
            };
        };
        let shown = path.display();
        let prefix = beneath(path).ok_or_else(|| {
            Problem::new(format!("--uploads {shown}: must be a path beneath DIR"))
        })?;
        let Some(auth) = &self.upload_auth else {
            return Err(Problem::new(format!(
                "--uploads {shown}: say who may upload: --upload-auth FILE, where `sendrail token NAME >> FILE` \
                 adds somebody, or --upload-auth none for everybody who can connect"
            )));
        };
        if self.upload_idle.0.is_zero() {
            return Err(Problem::new("--upload-idle 0: every upload would be cut at once"));
        }
        if self.upload_max.0 == 0 {
            return Err(Problem::new("--upload-max 0: nothing could be uploaded"));
        }
        let who = if auth.as_os_str() == "none" {
            Who::Anybody
        } else {
            if lies_beneath(auth, ground.root().path()) {
                return Err(Problem::new(format!(
                    "--upload-auth {}: lies in the served directory, where anybody could read it",
                    auth.display()
                )));
            }
            Who::Holders(Tokens::read(auth)?)
        };
        let options = LandingOptions {
            sync: self.upload_sync.is_on(),
            most: Some(self.upload_max.0),
            quota: self.upload_quota.map(|quota| quota.0),
            reserve: self.upload_reserve.0,
            keep: self.upload_keep.0,
        };
        let place = Place::open(ground, &prefix, options)
            .map_err(|error| Problem::new(format!("--uploads {shown}: {error}")))?;
        Ok(Some(Arc::new(Uploads {
            shown: path.clone(),
            prefix,
            place,
            who,
            patience: Limits { send: self.upload_idle.0, ..limits.clone() },
            news: crate::uploads::news::News::default(),
        })))
    }
}

/// As it stands in targets. None if it leads elsewhere.
fn beneath(path: &Path) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.as_bytes()),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!path.as_os_str().is_empty()).then(|| parts.join(&b'/'))
}

fn lies_beneath(file: &Path, root: &Path) -> bool {
    match (file.canonicalize(), root.canonicalize()) {
        (Ok(file), Ok(root)) => file.starts_with(root),
        _ => false, // reading it says why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_beneath() {
        let shown = |path: &str| beneath(Path::new(path));
        assert_eq!(shown("."), Some(b"".to_vec()));
        assert_eq!(shown("./in//box/"), Some(b"in/box".to_vec()));
        for bad in ["", "/in", "../in", "in/../.."] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
